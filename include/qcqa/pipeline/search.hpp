#pragma once

#include <filesystem>

#include "qcqa/pipeline/session.hpp"
#include "qcqa/pipeline/settings.hpp"
#include "qcqa/report/report.hpp"

namespace qcqa {

/// Calibrates, prices and searches a model: everything of a report but the plan. Finished steps are kept in
/// Session::state if that is given, until the caller has stored the report and calls forget_run().
/// @throws Error(interrupted) after keeping what is finished; Error(invalid_argument, unsupported, corrupt, io)
[[nodiscard]] Report search(const Model& model, const SearchSettings& settings, const Session& session);

/// The same for a file of head distances in the place of a model; SearchOptions::keep_layers are then keys of the file.
[[nodiscard]] Report search_distances(const std::filesystem::path& file, SearchOptions options, const Session& session);

/// What a run has kept in Session::state goes: its result stands.
void forget_run(const std::filesystem::path& state);

}  // namespace qcqa
