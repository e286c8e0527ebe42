#include <utility>

#include "qcqa/report/report.hpp"
#include "qcqa/search/nsga2.hpp"
#include "qcqa/support/error.hpp"
#include "qcqa/support/version.hpp"

namespace qcqa {

ReportModel describe(const Model& model) {
  const AttentionLayer& first = model.layers().front();
  return {.path = model.path().string(),
          .fingerprint = model.fingerprint(),
          .family = model.architecture().family,
          .dtype = std::string(dtype_name(first.dtype)),
          .layers = static_cast<int>(model.layers().size()),
          .query_heads = first.query_heads,
          .kv_heads = first.kv_heads,
          .head_dim = first.head_dim,
          .hidden_size = first.hidden_size,
          .kv_bytes_per_token = model.kv_bytes_per_token()};
}

namespace {

// KDGQA where every layer's key norms are known; the ends are MHA and MQA again.
void add_kdgqa(Report& report) {
  const auto& layers = report.search.layers;
  for (std::size_t i = layers.front().kdgqa.size(); i-- > 0;) {
    const int groups = layers.front().kdgqa[i].grouping.groups();
    if (groups == 1 || groups == report.model.kv_heads) continue;
    double cost = 0;
    bool everywhere = true;
    for (const LayerFront& layer : layers) {
      everywhere = everywhere && i < layer.kdgqa.size();
      if (everywhere) cost += layer.kdgqa[i].cost;
    }
    if (everywhere) {
      report.baselines.push_back({"kdgqa", groups, static_cast<double>(groups) / report.model.kv_heads, cost});
    }
  }
}

}  // namespace

void derive_comparisons(Report& report) {
  const int heads = report.model.kv_heads;
  double one_group_cost = 0;
  for (const LayerFront& layer : report.search.layers) one_group_cost += layer.one_group_cost;

  report.baselines.clear();
  for (int groups = heads; groups >= 1; --groups) {
    if (heads % groups != 0) continue;
    double cost = 0;
    for (const LayerFront& layer : report.search.layers) {
      const LayerGrouping* entry = layer.find(Cardinality::contiguous, groups);
      if (!entry) throw Error(ErrorKind::internal, "report", "every layer must carry its contiguous groupings");
      cost += entry->cost;
    }
    const char* name = groups == heads ? "mha" : groups == 1 ? "mqa" : "gqa";
    report.baselines.push_back({name, groups, static_cast<double>(groups) / heads, cost});
  }

  add_kdgqa(report);

  report.tool_version = version();
  report.tool_commit = commit();
  report.hypervolume_reference_cost = one_group_cost;
  std::vector<Objectives> points;
  const double all_heads = static_cast<double>(heads) * report.model.layers;
  for (const ModelPoint& point : report.search.front) {
    points.push_back({point.kv_heads / all_heads, one_group_cost > 0 ? point.cost / one_group_cost : 0});
  }
  report.hypervolume = hypervolume(points, {1, 1});
}

void require_same_model(const Report& report, const Model& model, std::string_view where) {
  if (report.model.family == kDistancesFamily) {
    throw Error(ErrorKind::invalid_argument, where, "the report must be about a model",
                "a report about the distances in " + report.model.path + ", which hold no weights",
                "Search the model itself: `qcqa search MODEL`.");
  }
  const ReportModel other = describe(model);
  if (report.model.fingerprint == other.fingerprint && report.model.layers == other.layers &&
      report.model.kv_heads == other.kv_heads) {
    return;
  }
  throw Error(ErrorKind::invalid_argument, where, "the report must be about the model " + model.path().string(),
              "a report about " + report.model.path + " (fingerprint " + report.model.fingerprint +
                  ", this model has " + other.fingerprint + ")",
              "Search this model first.");
}

}  // namespace qcqa
