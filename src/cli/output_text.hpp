#pragma once

#include <span>
#include <string>

#include "cli/console.hpp"
#include "qcqa/export/export.hpp"
#include "qcqa/pipeline/conversion.hpp"
#include "qcqa/report/report.hpp"

namespace qcqa::cli {

/// Files and folders of the input that an output lacks; nothing where there are none.
void print_left_out(std::span<const std::string> names);

/// What a conversion would write, for --dry-run.
void print_preview(const Model& model, const ExportSummary& summary, const ConversionNeeds& needs, const Report& report,
                   Console& console);

/// The closing lines about a model that was written. @param output  as the user named it
void print_output(const Model& model, const ExportSummary& summary, const Plan& plan, const ExportOptions& options,
                  const std::string& output, Console& console);

}  // namespace qcqa::cli
