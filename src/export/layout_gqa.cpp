#include <algorithm>

#include "export/gguf_model.hpp"
#include "export/layout.hpp"
#include "export/stock_class.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace gqa {
namespace {

void require_model(const Model& model) {
  const Architecture& architecture = model.architecture();
  if (!architecture.kv_heads.key.empty()) return;
  if (std::ranges::all_of(model.layers(), [](const AttentionLayer& layer) { return layer.kv_heads == 1; })) {
    throw Error(ErrorKind::unsupported, "--layout gqa", "some layers must have several KV heads",
                "one in each: there is nothing to merge");
  }
  throw Error(ErrorKind::unsupported, "--layout gqa",
              "the " + architecture.family + " model class must have a setting for the number of KV heads", "none",
              use_of_any_class(architecture));
}

void require_one_count(const Plan& plan) {
  if (plan.has_one_group_count()) return;
  throw Error(ErrorKind::unsupported, "--layout gqa", "stock model classes need one group count for all layers",
              layers_in_the_way(plan),
              "Use --groups, or --kv without --point, or --target RUNTIME, or --layout expanded.");
}

void require_plan(const Model& model, const Plan& plan) {
  if (plan.is_identity()) return;
  require_one_count(plan);
  require_model(model);
  require_norms_of_groups(model, plan, "--layout gqa");
  const int group_places = largest_group(model, plan);
  (void)stock_class(model, plan.layers.front().grouping.groups(), group_places);
  require_places_of_queries(model, heads_alike(model, plan, group_places), "--layout gqa");
}

/// A bias of zeros for every output projection.
void add_output_biases(const Model& model, std::optional<Dtype> dtype, std::vector<OutputTensor>& tensors) {
  for (const AttentionLayer& layer : model.layers()) {
    tensors.push_back(gather_ranges(model.architecture().tensor_name(layer.place, model.architecture().output, ".bias"),
                                    {{nullptr, 0, layer.hidden_size}}, {layer.hidden_size},
                                    dtype.value_or(layer.output->written_dtype())));
  }
}

Blueprint build(const Model& model, const Plan& plan, const ExportOptions& options) {
  const Architecture& architecture = model.architecture();
  // Without a setting for KV heads only the identity comes here, which every class can hold.
  if (architecture.kv_heads.key.empty()) {
    return layout_writer(Layout::expanded, FileFormat::safetensors).build(model, plan, options);
  }
  Blueprint blueprint;
  blueprint.config = base_config(model, options.dtype);
  const int groups = plan.layers.front().grouping.groups();
  const StockClass stock = stock_class(model, groups, largest_group(model, plan));
  blueprint.heads = heads_alike(model, plan, stock.group_places);
  blueprint.tensors = replace_heads(model, blueprint.heads, options.dtype);
  if (stock.needs_output_bias) add_output_biases(model, options.dtype, blueprint.tensors);
  rewrite_config(stock, model, blueprint.config);
  blueprint.config[architecture.kv_heads.key] = groups;
  const AttentionLayer& layer = model.layers().front();
  if (groups * stock.group_places != layer.query_heads) {
    blueprint.config[architecture.query_heads.key] = groups * stock.group_places;
    blueprint.config["head_dim"] = layer.head_dim;
  }
  const auto predicts_more = [](const TensorView& tensor) { return tensor.name.starts_with("mtp."); };
  if (!plan.is_identity() && std::ranges::any_of(model.checkpoint().tensors(), predicts_more)) {
    blueprint.notes.emplace_back(
        "the tensors \"mtp.*\", which predict several tokens at a time, keep their KV heads: runtimes that use them "
        "need them converted or removed");
  }
  if (!plan.is_identity() && !architecture.gqa_note.empty()) blueprint.notes.push_back(architecture.gqa_note);
  if (stock.architecture != &architecture) blueprint.written_as = stock.architecture->model_class;
  return blueprint;
}

void require_plan_gguf(const Model& model, const Plan& plan) {
  require_one_count(plan);
  require_gguf(model);
  require_gguf_heads(model, heads_alike(model, plan, largest_group(model, plan)));
}

Blueprint build_as_gguf(const Model& model, const Plan& plan, const ExportOptions& options) {
  return build_gguf(model, heads_alike(model, plan, largest_group(model, plan)), options);
}

}  // namespace
}  // namespace gqa

const LayoutRow& gqa_layout() {
  static const LayoutRow kRow = {
      {Layout::gqa, "gqa",
       "the model's own class with fewer KV heads, for stock runtimes: one group count for all layers; unequal groups "
       "are padded with zero query heads"},
      PlanLimits::uniform(),
      true,
      LayoutWriter{gqa::require_model, gqa::require_plan, gqa::build},
      LayoutWriter{require_gguf, gqa::require_plan_gguf, gqa::build_as_gguf}};
  return kRow;
}

}  // namespace qcqa
