#include "cli/export_step.hpp"

#include <algorithm>
#include <cstdio>

#include "checkpoint/gguf.hpp"
#include "qcqa/report/tables.hpp"
#include "qcqa/support/error.hpp"
#include "report/text_table.hpp"

namespace qcqa::cli {
namespace {

std::string kv_change(const ExportSummary& summary) {
  return "KV cache " + human_bytes(static_cast<double>(summary.kv_bytes_per_token_before)) + " per token -> " +
         human_bytes(static_cast<double>(summary.kv_bytes_per_token_after)) + " (" +
         format_number("%.1f %%", 100.0 * static_cast<double>(summary.kv_bytes_per_token_after) /
                                      static_cast<double>(summary.kv_bytes_per_token_before)) +
         "), KV heads " + std::to_string(summary.heads_before) + " -> " + std::to_string(summary.heads_after);
}

void print_cost_of_shape(const Model& model, const ExportSummary& summary) {
  if (const std::string note = padding_note(summary, model.parameter_count()); !note.empty())
    std::printf("%s\n", note.c_str());
  if (!summary.written_as.empty()) {
    std::printf("Written as %s, which %s.\n", summary.written_as.c_str(), same_result(summary).c_str());
  }
}

/// What llama.cpp's own tool calls the usual mixture of a block type.
std::string quantisation_name(const std::string& block_type) {
  const bool mixed = block_type == "Q3_K" || block_type == "Q4_K" || block_type == "Q5_K";
  return mixed ? block_type + "_M" : block_type;
}

/// Quantised weights were read, wide ones written: how to get small ones again.
void print_way_back(const Model& model, const ExportOptions& options, const std::string& output) {
  const std::string type = model.gguf() ? main_block_type(*model.gguf()) : std::string();
  if (type.empty()) return;
  if (options.format == Format::gguf) {
    const std::string name = quantisation_name(type);
    std::printf("The input held %s weights. To quantise again: llama-quantize %s/%s %s/model-%s.gguf %s\n",
                type.c_str(), output.c_str(), kGgufFile, output.c_str(), name.c_str(), name.c_str());
  } else {
    std::printf(
        "The input held %s weights, the output holds their values; --format gguf writes a file that llama-quantize "
        "quantises again.\n",
        type.c_str());
  }
}

void print_notes(const ExportSummary& summary, Console& console) {
  for (const std::string& note : summary.notes) console.remark(note);
}

void print_left_out(const ExportSummary& summary) {
  if (summary.left_out.empty()) return;
  std::string names;
  for (const std::string& name : summary.left_out) names += (names.empty() ? "" : ", ") + name;
  std::printf("Not copied, since it is not part of the converted model: %s\n", names.c_str());
}

void print_preview(const Model& model, const ExportSummary& summary, Report& report) {
  std::printf("%s\n%s\n", report_tables(report, {"plan"}).c_str(), kv_change(summary).c_str());
  print_cost_of_shape(model, summary);
  std::printf("Output: %s of weights in %d file(s), %s in all; input: %s of weights\n",
              human_bytes(static_cast<double>(summary.tensor_bytes_after)).c_str(), summary.shards,
              human_bytes(static_cast<double>(summary.file_bytes)).c_str(),
              human_bytes(static_cast<double>(summary.tensor_bytes_before)).c_str());
  print_left_out(summary);
  std::printf("Needs %s of free disk and about %s of memory above the mapped input. Nothing was written (--dry-run).\n",
              human_bytes(static_cast<double>(summary.file_bytes)).c_str(),
              human_bytes(static_cast<double>(summary.buffer_bytes)).c_str());
}

}  // namespace

void check_output(const Model& model, const ExportFlags& flags) {
  require_writable_target(model, flags.output, flags.overwrite());
  // Before hours of work that could not be written.
  const ExportOptions options = flags.resolve();
  const auto target = flags.automatic_for();
  require_tokenizer(model, target == Target::llama_cpp ? Format::gguf : options.format);
}

ExportOptions export_step(const Model& model, const Plan& plan, Report report, const ExportFlags& flags,
                          Console& console) {
  ExportOptions options = flags.resolve();
  if (const auto target = flags.automatic_for()) {
    const LayoutChoice choice = choose_layout(model, plan, *target);
    options.layout = choice.layout;
    options.format = choice.format;
    console.note("Layout " + std::string(layout_name(choice.layout)) + ": " + choice.why);
  }
  report.plan = plan;
  if (report.merge) options.merge = report.merge->kind;
  options.report = to_json(report).dump(1) + "\n";
  if (flags.dry_run) {
    const ExportSummary preview = preview_export(model, plan, options);
    print_notes(preview, console);
    print_preview(model, preview, report);
    return options;
  }
  const ExportSummary summary = export_model(model, plan, options, flags.output, flags.overwrite(), console.progress());
  std::printf("%s: %s, cost %s, %s of weights, %.1f s\n", flags.output.c_str(), kv_change(summary).c_str(),
              format_number("%.5g", plan.cost).c_str(),
              human_bytes(static_cast<double>(summary.tensor_bytes_after)).c_str(), console.seconds());
  print_cost_of_shape(model, summary);
  print_way_back(model, options, flags.output);
  print_notes(summary, console);
  print_left_out(summary);
  if (options.layout == Layout::expanded) {
    std::printf(
        "Expanded layout: for checking quality only; a runtime stores every copy. Use --layout gqa to save memory.\n");
  }
  return options;
}

}  // namespace qcqa::cli
