#include "export/layout.hpp"

#include <algorithm>
#include <cstdio>

#include "model/attention_facts.hpp"
#include "qcqa/model/output_head.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

std::string_view config_name(Dtype dtype) {
  switch (dtype) {
    case Dtype::f16:
      return "float16";
    case Dtype::bf16:
      return "bfloat16";
    case Dtype::f64:
      return "float64";
    default:
      return "float32";
  }
}

}  // namespace

std::span<const LayoutRow> layout_rows() {
  static const std::vector<LayoutRow> kRows = {gqa_layout(),          expanded_layout(),     remote_code_layout(),
                                               shared_cache_layout(), nemotron_nas_layout(), openelm_layout(),
                                               deci_layout()};
  return kRows;
}

const LayoutRow& layout_row(Layout layout) {
  const auto rows = layout_rows();
  return *std::ranges::find(rows, layout, [](const LayoutRow& row) { return row.info.layout; });
}

const LayoutWriter& layout_writer(Layout layout, FileFormat format) {
  const LayoutRow& row = layout_row(layout);
  const std::optional<LayoutWriter>& form = format == FileFormat::gguf ? row.gguf : row.safetensors;
  if (form) return *form;
  throw Error(ErrorKind::invalid_argument, "--layout " + std::string(row.info.name),
              format == FileFormat::gguf ? "has no form as GGUF" : "is for --format gguf", "another format",
              format == FileFormat::gguf ? "Use --layout auto." : "Add --format gguf.");
}

std::span<const LayoutInfo> layout_infos() {
  static const std::vector<LayoutInfo> kInfos = [] {
    std::vector<LayoutInfo> infos;
    for (const LayoutRow& row : layout_rows()) infos.push_back(row.info);
    return infos;
  }();
  return kInfos;
}

std::string_view layout_name(Layout layout) { return layout_row(layout).info.name; }

bool can_be_read(Layout layout, FileFormat format) {
  return format == FileFormat::safetensors && layout_row(layout).can_be_read;
}

PlanLimits plan_limits(Layout layout) { return layout_row(layout).plans; }

std::string layers_in_the_way(const Plan& plan) {
  std::string unequal;
  std::string other;
  const int common = plan.layers.front().grouping.groups();
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    if (!plan.layers[i].grouping.has_equal_groups()) unequal += (unequal.empty() ? "" : ", ") + std::to_string(i);
    if (plan.layers[i].grouping.groups() != common) other += (other.empty() ? "" : ", ") + std::to_string(i);
  }
  std::string text;
  if (!unequal.empty()) text = "unequal groups in layers " + unequal;
  if (!other.empty())
    text += (text.empty() ? "" : "; ") + std::string("another group count than layer 0 in layers ") + other;
  return text;
}

bool norms_span_heads(const Model& model) {
  return model.architecture().attention.head_norm.scope == HeadNormScope::projection && has_head_norm(model.settings());
}

void require_norms_of_groups(const Model& model, const Plan& plan, std::string_view layout) {
  if (!norms_span_heads(model)) return;
  for (const LayerPlan& layer : plan.layers) {
    if (layer.grouping.has_equal_groups()) continue;
    throw Error(ErrorKind::unsupported, std::string(layout),
                "all heads of a token are normalised together in this family, so groups must be of equal size",
                layers_in_the_way(plan), "Use --cardinality equal, or --layout expanded.");
  }
}

std::string use_of_any_class(const Architecture& architecture) {
  return architecture.no_shared_cache.empty() ? "Use --layout shared-cache or expanded." : "Use --layout expanded.";
}

bool query_heads_stay(const Model& model) { return alibi_exponent(model.settings()) > 0; }

bool needs_neighbours(const Model& model, Layout layout) {
  return query_heads_stay(model) && layout != Layout::expanded && layout != Layout::shared_cache;
}

void require_places_of_queries(const Model& model, const std::vector<LayerHeads>& heads, std::string_view layout) {
  if (!query_heads_stay(model)) return;
  for (const LayerHeads& layer : heads) {
    if (std::ranges::is_sorted(layer.query)) continue;
    throw Error(ErrorKind::unsupported, std::string(layout),
                "how scores fall with distance belongs to the places of query heads, which must stay",
                model.architecture().family + ", groups of heads that are not neighbours",
                "Use search or run with --target, or --groups with --cardinality contiguous.");
  }
}

std::vector<LayerHeads> heads_per_layer(const Model& model, const Plan& plan) {
  std::vector<LayerHeads> heads;
  for (const AttentionLayer& layer : model.layers()) {
    const Grouping& grouping = plan.grouping(layer.layer);
    heads.push_back(grouped_heads(layer, grouping, largest_group(layer, grouping)));
  }
  return heads;
}

std::vector<LayerHeads> heads_alike(const Model& model, const Plan& plan, int group_places) {
  std::vector<LayerHeads> heads;
  for (const AttentionLayer& layer : model.layers()) {
    heads.push_back(grouped_heads(layer, plan.grouping(layer.layer), group_places));
  }
  return heads;
}

int largest_group(const Model& model, const Plan& plan) {
  int places = 1;
  for (const AttentionLayer& layer : model.layers()) {
    places = std::max(places, largest_group(layer, plan.grouping(layer.layer)));
  }
  return places;
}

nlohmann::ordered_json base_config(const Model& model, std::optional<Dtype> dtype) {
  nlohmann::ordered_json config = model.config();
  if (dtype) config[config.contains("dtype") ? "dtype" : "torch_dtype"] = config_name(*dtype);
  // transformers does not tie what is stored apart; other runtimes go by the key.
  const HeadDescription& head = model.architecture().head;
  const bool apart = model.checkpoint().find(head.tensor + ".weight") && !output_head(model).tied;
  if (apart && model.settings().value(head.tied)) config[head.tied.key] = false;
  return config;
}

void copy_common_keys(const Model& model, std::optional<Dtype> dtype, nlohmann::ordered_json& config) {
  const nlohmann::ordered_json base = base_config(model, dtype);
  for (const char* key :
       {"bos_token_id", "eos_token_id", "pad_token_id", "initializer_range", "use_cache", "dtype", "torch_dtype"}) {
    if (const auto it = base.find(key); it != base.end()) config[key] = *it;
  }
}

std::string same_result(const ExportSummary& summary) {
  if (summary.same_up_to == 0) return "computes the same";
  const std::string tokens = std::to_string(summary.same_up_to);
  return "computes the same for texts of up to " + tokens +
         " tokens (it has no sliding window, so its length is set to " + tokens + ")";
}

std::string padding_note(const ExportSummary& summary, std::int64_t parameters) {
  if (summary.padding_parameters == 0) return {};
  char text[256];
  std::snprintf(
      text, sizeof text,
      "Padding: %d query heads instead of %d, the rest zeros; %+.1f %% parameters, attention computes %.2f times as "
      "much; the KV cache pays nothing.",
      summary.query_heads_after, summary.query_heads_before,
      100.0 * static_cast<double>(summary.padding_parameters) / static_cast<double>(parameters),
      static_cast<double>(summary.query_heads_after) / summary.query_heads_before);
  return text;
}

}  // namespace qcqa
