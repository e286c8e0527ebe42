#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>

#include "export/side_files.hpp"
#include "qcqa/support/version.hpp"

namespace qcqa {
namespace {

std::string groups_per_layer(const Plan& plan) {
  if (plan.is_uniform()) return std::to_string(plan.layers.front().grouping.groups()) + " in every layer";
  std::string text;
  for (const LayerPlan& layer : plan.layers)
    text += (text.empty() ? "" : ", ") + std::to_string(layer.grouping.groups());
  return text;
}

std::string labels_of(const Grouping& grouping) {
  std::string text;
  for (const std::uint8_t label : grouping.labels()) text += (text.empty() ? "" : " ") + std::to_string(label);
  return text;
}

std::string percent_of(std::int64_t part, std::int64_t whole) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
  return text;
}

}  // namespace

std::string model_card(const Model& model, const Plan& plan, const ExportOptions& options,
                       const ExportSummary& summary) {
  const std::string name = std::filesystem::weakly_canonical(model.path()).filename().string();
  const bool compact = options.layout != Layout::expanded;
  std::string card = "---\nlibrary_name: " + std::string(options.format == FileFormat::gguf ? "gguf" : "transformers") +
                     "\nbase_model: " + name + "\ntags:\n- qcqa\n- grouped-query-attention\n---\n\n";
  card += "# " + name + (compact ? ", with fewer key/value heads\n\n" : ", with merged key/value heads (expanded)\n\n");
  card += "Made from `" + name + "` (" + model.architecture().family + ") by qcqa " + std::string(version()) +
          " (commit " + std::string(commit()) + "): the key and value heads of each group became one. " +
          std::string(merge_method(options.merge).sentence) + "\n\n";
  card += options.measured.empty() ? "Expect a loss of quality, and measure it before use.\n\n"
                                   : options.measured + "\nOn other texts it may be more: measure before use.\n\n";
  card += "| | before | after |\n|---|---|---|\n";
  card += "| KV heads, all layers | " + std::to_string(summary.heads_before) + " | " +
          std::to_string(summary.heads_after) + " |\n";
  card += "| KV cache per token | " + std::to_string(summary.kv_bytes_per_token_before) + " bytes | " +
          std::to_string(summary.kv_bytes_per_token_after) + " bytes (" +
          percent_of(summary.kv_bytes_per_token_after, summary.kv_bytes_per_token_before) + ") |\n";
  card += "| weights | " + std::to_string(summary.tensor_bytes_before) + " bytes | " +
          std::to_string(summary.tensor_bytes_after) + " bytes |\n\n";
  if (const std::string note = padding_note(summary, model.parameter_count()); !note.empty()) card += note + "\n\n";
  if (options.format == FileFormat::gguf) {
    card += "`" + std::string(kGgufFile) + "` is for llama.cpp (" + summary.written_as + ", which " +
            same_result(summary) + ").\n\n";
  } else if (!summary.written_as.empty()) {
    card += "It is written as `" + summary.written_as + "`, which " + same_result(summary) +
            " and knows a head size of its own.\n\n";
  }
  if (!compact) {
    card +=
        "This folder has the shape of the original, with each merged head stored once per member: it shows the quality "
        "of the\n"
        "grouping in any runtime and saves no memory.\n\n";
  }
  if (options.layout == Layout::shared_cache) {
    card +=
        "Each merged head is stored once per member, but cached once: load it with `trust_remote_code=True`. Without "
        "that, and in\n"
        "other runtimes, it computes the same and caches every copy.\n\n";
  }
  card += "## How it was made\n\n";
  if (!options.command.empty()) card += "```\n" + options.command + "\n```\n\n";
  card += "- grouping: " + plan.origin + "\n- groups: " + groups_per_layer(plan) +
          "\n- merge: " + std::string(merge_kind_name(options.merge)) +
          "\n- source fingerprint: " + model.fingerprint() + "\n\n";
  card += "`qcqa-report.json` holds the whole search. Group of each key/value head:\n\n| layer | groups |\n|---|---|\n";
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    card += "| " + std::to_string(i) + " | " + labels_of(plan.layers[i].grouping) + " |\n";
  }
  const int all = model.settings().shape().layers;
  if (static_cast<std::size_t>(all) != plan.layers.size()) {
    card += fmt::format("\nLayers here are those with attention heads: of the model's {}, in this order, {}.\n", all,
                        fmt::join(model.places(), ", "));
  }
  return card;
}

}  // namespace qcqa
