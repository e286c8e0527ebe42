#include "qcqa/report/report.hpp"

namespace qcqa {
namespace {

using nlohmann::ordered_json;

ordered_json labels_json(const Grouping& grouping) {
  ordered_json labels = ordered_json::array();
  for (const std::uint8_t label : grouping.labels()) labels.push_back(static_cast<int>(label));
  return labels;
}

ordered_json groupings_json(const std::vector<LayerGrouping>& groupings, const LayerFront& layer) {
  ordered_json list = ordered_json::array();
  for (const LayerGrouping& entry : groupings) {
    list.push_back({{"groups", entry.grouping.groups()},
                    {"cardinality", cardinality_name(entry.cardinality)},
                    {"labels", labels_json(entry.grouping)},
                    {"cost", entry.cost},
                    {"cost_k", entry.parts.k},
                    {"cost_v", entry.parts.v},
                    {"normalized", layer.one_group_cost > 0 ? entry.cost / layer.one_group_cost : 0.0},
                    {"lower_bound", entry.lower_bound},
                    {"gap", bound_gap(entry.cost, entry.lower_bound)},
                    {"proven", entry.proven},
                    {"source", entry.source}});
  }
  return list;
}

ordered_json layer_json(const LayerFront& layer) {
  ordered_json document = {{"layer", layer.layer},
                           {"kv_heads", layer.heads},
                           {"one_group_cost", layer.one_group_cost},
                           {"evaluations", layer.evaluations},
                           {"groupings", groupings_json(layer.groupings, layer)}};
  if (!layer.kdgqa.empty()) document["kdgqa"] = groupings_json(layer.kdgqa, layer);
  return document;
}

ordered_json point_json(const ModelPoint& point, std::size_t index, const ReportModel& model) {
  ordered_json groups = ordered_json::array();
  ordered_json labels = ordered_json::array();
  for (const Grouping& grouping : point.layers) {
    groups.push_back(grouping.groups());
    labels.push_back(labels_json(grouping));
  }
  return {{"point", index},
          {"kv_heads", point.kv_heads},
          {"kv_bytes_per_token", point.kv_heads * model.kv_bytes_per_head()},
          {"kv_fraction", static_cast<double>(point.kv_heads) / (static_cast<double>(model.layers) * model.kv_heads)},
          {"cost", point.cost},
          {"lower_bound", point.lower_bound},
          {"gap", bound_gap(point.cost, point.lower_bound)},
          {"proven", point.proven},
          {"groups", std::move(groups)},
          {"cardinality", cardinality_name(point.cardinality)},
          {"labels", std::move(labels)}};
}

ordered_json points_json(const std::vector<ModelPoint>& points, const ReportModel& model) {
  ordered_json list = ordered_json::array();
  for (std::size_t i = 0; i < points.size(); ++i) list.push_back(point_json(points[i], i, model));
  return list;
}

ordered_json merge_json(const MergeSummary& merge) {
  ordered_json layers = ordered_json::array();
  for (const MergedLayer& layer : merge.layers) {
    layers.push_back({{"layer", layer.layer},
                      {"subspace_error", layer.subspace_error},
                      {"refit_error", layer.refit_error},
                      {"error", layer.error},
                      {"steps", layer.steps}});
  }
  ordered_json document = {{"kind", merge_kind_name(merge.kind)},
                           {"calibration_tokens", merge.calibration_tokens},
                           {"keys", merge.keys_pooled ? "pooled by direction" : "free"},
                           {"seconds", merge.seconds},
                           {"layers", std::move(layers)}};
  if (const auto& distillation = merge.distillation) {
    document["distillation"] = {
        {"kl_before", distillation->before}, {"kl_after", distillation->after}, {"steps", distillation->steps}};
  }
  for (const MergeRung& rung : merge.ladder) {
    document["ladder"].push_back({{"merge", rung.name}, {"perplexity", rung.perplexity}});
  }
  return document;
}

}  // namespace

ordered_json to_json(const Evaluation& evaluation) {
  ordered_json out = {{"perplexity", evaluation.perplexity},
                      {"cross_entropy", evaluation.cross_entropy},
                      {"standard_error", evaluation.standard_error},
                      {"tokens", evaluation.tokens},
                      {"documents", evaluation.documents},
                      {"kv_bytes_per_token", evaluation.kv_bytes_per_token},
                      {"tokens_per_second", evaluation.tokens_per_second}};
  if (const auto& reference = evaluation.reference) {
    out["reference"] = {{"perplexity", reference->perplexity},
                        {"cross_entropy", reference->cross_entropy},
                        {"kl_mean", reference->kl_mean},
                        {"kl_p99", reference->kl_p99},
                        {"top1_agreement", reference->top1_agreement},
                        {"difference", reference->difference},
                        {"difference_error", reference->difference_error}};
  }
  return out;
}

ordered_json to_json(const Report& report) {
  const ReportModel& model = report.model;
  ordered_json document;
  document["schema_version"] = 1;
  document["tool"] = {{"name", "qcqa"}, {"version", report.tool_version}, {"commit", report.tool_commit}};
  document["model"] = {{"path", model.path},
                       {"fingerprint", model.fingerprint},
                       {"family", model.family},
                       {"layers", model.layers},
                       {"query_heads", model.query_heads},
                       {"kv_heads", model.kv_heads},
                       {"head_dim", model.head_dim},
                       {"hidden_size", model.hidden_size},
                       {"dtype", model.dtype},
                       {"kv_bytes_per_token", model.kv_bytes_per_token}};
  document["options"] = report.options;
  document["fitness"] = {{"name", report.fitness_name}, {"unit", report.fitness_unit}};
  document["timings"] = report.timings;
  document["search"] = {{"evaluations", report.search.evaluations},
                        {"stop", report.search.stop == StopReason::completed ? "completed" : "interrupted"}};
  document["layers"] = ordered_json::array();
  for (const LayerFront& layer : report.search.layers) document["layers"].push_back(layer_json(layer));
  document["front"] = points_json(report.search.front, model);
  document["uniform"] = points_json(report.search.uniform, model);
  document["baselines"] = ordered_json::array();
  for (const Baseline& baseline : report.baselines) {
    document["baselines"].push_back({{"name", baseline.name},
                                     {"groups", baseline.groups},
                                     {"kv_fraction", baseline.kv_fraction},
                                     {"cost", baseline.cost}});
  }
  document["hypervolume"] = {{"value", report.hypervolume},
                             {"reference", {{"kv_fraction", 1.0}, {"cost", report.hypervolume_reference_cost}}}};
  if (report.plan) {
    ordered_json layers = ordered_json::array();
    for (const LayerPlan& layer : report.plan->layers) {
      layers.push_back({{"labels", labels_json(layer.grouping)}, {"kv_source", layer.kv_source}});
    }
    document["plan"] = {{"origin", report.plan->origin}, {"cost", report.plan->cost}, {"layers", std::move(layers)}};
  }
  if (report.merge) document["merge"] = merge_json(*report.merge);
  if (report.evaluation) document["evaluation"] = to_json(*report.evaluation);
  return document;
}

}  // namespace qcqa
