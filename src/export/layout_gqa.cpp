#include <algorithm>

#include "export/layout.hpp"
#include "export/stock_class.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// Query heads of a group, all groups of the model padded to the largest.
int group_places(const Model& model, const Plan& plan) {
  int places = 1;
  for (const AttentionLayer& layer : model.layers()) {
    places = std::max(places, largest_group(layer, plan.layers[static_cast<std::size_t>(layer.layer)]));
  }
  return places;
}

void require_model(const Model& model) {
  const Architecture& architecture = model.architecture();
  if (!architecture.kv_heads_key.empty()) return;
  throw Error(ErrorKind::unsupported, "--layout gqa",
              "the " + architecture.family + " model class must have a setting for the number of KV heads", "none",
              "Use --layout expanded.");
}

void require_plan(const Model& model, const Plan& plan) {
  if (plan.is_identity()) return;
  if (!plan.has_one_group_count()) {
    throw Error(ErrorKind::unsupported, "--layout gqa", "stock model classes need one group count for all layers",
                layers_in_the_way(plan),
                "Use --groups, or --kv without --point, or a layout for other plans (expanded).");
  }
  require_model(model);
  (void)stock_class(model, plan.layers.front().groups(), group_places(model, plan));
}

/// A bias of zeros for every output projection.
void add_output_biases(const Model& model, std::optional<Dtype> dtype, std::vector<OutputTensor>& tensors) {
  for (const AttentionLayer& layer : model.layers()) {
    tensors.push_back(gather_ranges(model.architecture().tensor_name(layer.layer, model.architecture().output, ".bias"),
                                    {{nullptr, 0, layer.hidden_size}}, {layer.hidden_size},
                                    dtype.value_or(layer.output->dtype)));
  }
}

Blueprint build(const Model& model, const Plan& plan, const ExportOptions& options) {
  Blueprint blueprint;
  blueprint.config = base_config(model, options.dtype);
  const Architecture& architecture = model.architecture();
  if (architecture.kv_heads_key.empty()) {  // the identity, which every class can hold
    for (const AttentionLayer& layer : model.layers()) {
      blueprint.heads.push_back(expanded_heads(layer, plan.layers[static_cast<std::size_t>(layer.layer)]));
    }
    blueprint.tensors = replace_heads(model, blueprint.heads, options.dtype);
    return blueprint;
  }
  const int groups = plan.layers.front().groups();
  const StockClass stock = stock_class(model, groups, group_places(model, plan));
  for (const AttentionLayer& layer : model.layers()) {
    blueprint.heads.push_back(
        grouped_heads(layer, plan.layers[static_cast<std::size_t>(layer.layer)], stock.group_places));
  }
  blueprint.tensors = replace_heads(model, blueprint.heads, options.dtype);
  if (stock.needs_output_bias) add_output_biases(model, options.dtype, blueprint.tensors);
  rewrite_config(stock, model, blueprint.config);
  blueprint.config[architecture.kv_heads_key] = groups;
  const AttentionLayer& layer = model.layers().front();
  if (groups * stock.group_places != layer.query_heads) {
    blueprint.config[architecture.query_heads_key] = groups * stock.group_places;
    blueprint.config["head_dim"] = layer.head_dim;
  }
  blueprint.written_as = stock.name;
  return blueprint;
}

}  // namespace

const LayoutDescription& gqa_layout() {
  static const LayoutDescription kRow = {{Layout::gqa, "gqa",
                                          "the model's own class with fewer KV heads, for stock runtimes: one group "
                                          "count for all layers; unequal groups are "
                                          "padded with zero query heads"},
                                         PlanShape::uniform,
                                         require_model,
                                         require_plan,
                                         build};
  return kRow;
}

}  // namespace qcqa
