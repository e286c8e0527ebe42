#pragma once

#include <string>

#include "cli/console.hpp"
#include "qcqa/export/export.hpp"
#include "qcqa/report/report.hpp"

namespace qcqa::cli {

/// What a conversion would write, for --dry-run.
void print_preview(const Model& model, const ExportSummary& summary, const Report& report, Console& console);

/// The closing lines about a model that was written. @param output  as the user named it
void print_output(const Model& model, const ExportSummary& summary, const Plan& plan, const ExportOptions& options,
                  const std::string& output, Console& console);

}  // namespace qcqa::cli
