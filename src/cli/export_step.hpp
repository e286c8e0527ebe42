#pragma once

#include "cli/console.hpp"
#include "cli/flags.hpp"
#include "qcqa/report/report.hpp"

namespace qcqa::cli {

/// Fails before any work when the output cannot be written where the user wants it.
void check_output(const Model& model, const ExportFlags& flags);

/// Writes (or, with --dry-run, describes) the converted model; prints the closing line. Returns the options with the
/// layout that was chosen.
ExportOptions export_step(const Model& model, const Plan& plan, Report report, const ExportFlags& flags,
                          Console& console);

}  // namespace qcqa::cli
