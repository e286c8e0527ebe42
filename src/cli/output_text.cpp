#include "cli/output_text.hpp"

#include <algorithm>
#include <cstdio>

#include "checkpoint/gguf.hpp"
#include "qcqa/report/tables.hpp"
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

}  // namespace

void print_preview(const Model& model, const ExportSummary& summary, const Report& report, Console& console) {
  print_notes(summary, console);
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

void print_output(const Model& model, const ExportSummary& summary, const Plan& plan, const ExportOptions& options,
                  const std::string& output, Console& console) {
  std::printf("%s: %s, cost %s, %s of weights, %.1f s\n", output.c_str(), kv_change(summary).c_str(),
              format_number("%.5g", plan.cost).c_str(),
              human_bytes(static_cast<double>(summary.tensor_bytes_after)).c_str(), console.seconds());
  print_cost_of_shape(model, summary);
  print_way_back(model, options, output);
  print_notes(summary, console);
  print_left_out(summary);
  if (options.layout == Layout::expanded) {
    std::printf(
        "Expanded layout: for checking quality only; a runtime stores every copy. Use --layout gqa to save memory.\n");
  }
}

}  // namespace qcqa::cli
