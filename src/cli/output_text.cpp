#include "cli/output_text.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>

#include "checkpoint/gguf.hpp"
#include "qcqa/report/sections.hpp"
#include "qcqa/support/human_bytes.hpp"

namespace qcqa::cli {
namespace {

std::string kv_change(const ExportSummary& summary) {
  const auto before = static_cast<double>(summary.kv_bytes_per_token_before);
  const auto after = static_cast<double>(summary.kv_bytes_per_token_after);
  return fmt::format("KV cache {} per token -> {} ({:.1f} %), KV heads {} -> {}", human_bytes(before),
                     human_bytes(after), 100 * after / before, summary.heads_before, summary.heads_after);
}

void print_cost_of_shape(const Model& model, const ExportSummary& summary) {
  if (const std::string note = padding_note(summary, model.parameter_count()); !note.empty()) fmt::print("{}\n", note);
  if (!summary.written_as.empty()) {
    fmt::print("Written as {}, which {}.\n", summary.written_as, same_result(summary));
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
  if (options.format == FileFormat::gguf) {
    const std::string name = quantisation_name(type);
    fmt::print("The input held {} weights. To quantise again: llama-quantize {}/{} {}/model-{}.gguf {}\n", type, output,
               kGgufFile, output, name, name);
  } else {
    fmt::print(
        "The input held {} weights, the output holds their values; --format gguf writes a file that llama-quantize "
        "quantises again.\n",
        type);
  }
}

void print_notes(const ExportSummary& summary, Console& console) {
  for (const std::string& note : summary.notes) console.remark(note);
}

}  // namespace

void print_left_out(std::span<const std::string> names) {
  if (!names.empty())
    fmt::print("Not copied, since it is not part of the converted model: {}\n", fmt::join(names, ", "));
}

void print_preview(const Model& model, const ExportSummary& summary, const ConversionNeeds& needs, const Report& report,
                   Console& console) {
  print_notes(summary, console);
  fmt::print("{}\n{}\n", text_of(report_sections(report, {"plan"})), kv_change(summary));
  print_cost_of_shape(model, summary);
  fmt::print("Output: {} of weights in {} file(s), {} in all; input: {} of weights\n",
             human_bytes(summary.tensor_bytes_after), summary.shards, human_bytes(summary.file_bytes),
             human_bytes(summary.tensor_bytes_before));
  print_left_out(summary.left_out);
  fmt::print("Needs {} of free disk and about {} of memory above the mapped input. Nothing was written (--dry-run).\n",
             human_bytes(needs.disk_bytes), human_bytes(needs.memory_bytes));
}

void print_output(const Model& model, const ExportSummary& summary, const Plan& plan, const ExportOptions& options,
                  const std::string& output, Console& console) {
  fmt::print("{}: {}, cost {:.5g}, {} of weights, {:.1f} s\n", output, kv_change(summary), plan.cost,
             human_bytes(summary.tensor_bytes_after), console.seconds());
  print_cost_of_shape(model, summary);
  print_way_back(model, options, output);
  print_notes(summary, console);
  print_left_out(summary.left_out);
  if (options.layout == Layout::expanded) {
    fmt::print(
        "Expanded layout: for checking quality only; a runtime stores every copy. `qcqa inspect` says which layouts "
        "save "
        "memory.\n");
  }
}

}  // namespace qcqa::cli
