#pragma once

#include <filesystem>
#include <optional>

#include "cli/console.hpp"
#include "cli/fitness_step.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/report/report.hpp"
#include "qcqa/support/device.hpp"

namespace qcqa::cli {

/// Where an interrupted search keeps its state.
struct SearchState {
  std::filesystem::path file;
  bool resume = false;
};

/// Search and comparisons: everything of a report but the plan.
/// @throws Error(interrupted) after saving the state
[[nodiscard]] Report search_model(const Model& model, const LayerCosts& costs, const SearchOptions& options,
                                  const Device& device, Console& console,
                                  const std::optional<SearchState>& state = std::nullopt);

/// The same for a file of head distances instead of a model; --keep-layers are then keys of the file.
[[nodiscard]] Report search_distances(const std::filesystem::path& file, SearchOptions options, Console& console,
                                      const std::optional<SearchState>& state = std::nullopt);

/// One line about the input for the head of a command's output.
[[nodiscard]] std::string preamble(const Model& model, const char* verb);

/// Costs at three quarters, half, a quarter, ... of the KV cache: the short summary at the end of a search.
[[nodiscard]] std::string search_summary(const Report& report);

}  // namespace qcqa::cli
