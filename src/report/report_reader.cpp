#include <cmath>
#include <limits>

#include "checkpoint/json_file.hpp"
#include "qcqa/report/report.hpp"
#include "qcqa/support/error.hpp"
#include "qcqa/support/limits.hpp"
#include "report/json_path_reader.hpp"

namespace qcqa {
namespace {

constexpr std::int64_t kMaxCount = 1 << 24;

int count(const JsonPathReader& reader, std::int64_t high = kMaxCount) {
  return static_cast<int>(reader.integer(1, high));
}

Grouping read_labels(const JsonPathReader& reader, int heads) {
  if (reader.size() != static_cast<std::size_t>(heads)) {
    reader.fail("must have one label per KV head, " + std::to_string(heads), std::to_string(reader.size()));
  }
  std::vector<int> labels;
  for (std::size_t i = 0; i < reader.size(); ++i)
    labels.push_back(static_cast<int>(reader.at(i).integer(0, heads - 1)));
  return Grouping::from_labels(labels);
}

Cardinality read_cardinality(const JsonPathReader& reader) {
  const std::string name = reader.text();
  for (const Cardinality value : {Cardinality::arbitrary, Cardinality::equal, Cardinality::contiguous}) {
    if (name == cardinality_name(value)) return value;
  }
  reader.fail("must be equal, arbitrary or contiguous", name);
}

ReportModel read_model(const JsonPathReader& reader) {
  ReportModel model{.path = reader.at("path").text(),
                    .fingerprint = reader.at("fingerprint").text(),
                    .family = reader.at("family").text(),
                    .dtype = reader.at("dtype").text(),
                    .layers = count(reader.at("layers")),
                    .query_heads = count(reader.at("query_heads")),
                    .kv_heads = count(reader.at("kv_heads"), kMaxKvHeads),
                    .head_dim = count(reader.at("head_dim")),
                    .hidden_size = count(reader.at("hidden_size")),
                    .kv_bytes_per_token = reader.at("kv_bytes_per_token").integer(1, std::int64_t{1} << 50)};
  if (model.kv_bytes_per_head() < 1) reader.fail("kv_bytes_per_token must be at least one byte per KV head");
  return model;
}

void read_bound(const JsonPathReader& reader, double cost, double& lower_bound, bool& proven) {
  lower_bound = reader.at("lower_bound").non_negative();
  if (lower_bound > cost)
    reader.at("lower_bound").fail("must not exceed the cost", reader.at("lower_bound").value().dump());
  if (!reader.at("proven").value().is_boolean()) reader.at("proven").fail("must be true or false");
  proven = reader.at("proven").value().get<bool>();
}

LayerGrouping read_grouping(const JsonPathReader& reader, int heads) {
  LayerGrouping entry;
  entry.grouping = read_labels(reader.at("labels"), heads);
  entry.cardinality = read_cardinality(reader.at("cardinality"));
  entry.cost = reader.at("cost").non_negative();
  entry.parts = {reader.at("cost_k").non_negative(), reader.at("cost_v").non_negative()};
  read_bound(reader, entry.cost, entry.lower_bound, entry.proven);
  entry.source = reader.at("source").text();
  if (reader.at("groups").integer(1, heads) != entry.grouping.groups()) {
    reader.at("groups").fail("must be the number of different labels",
                             std::to_string(entry.grouping.groups()) + " labels");
  }
  if (entry.cardinality != Cardinality::arbitrary && !entry.grouping.has_equal_groups()) {
    reader.at("labels").fail("groups of an equal or contiguous grouping must be of one size");
  }
  return entry;
}

std::vector<LayerGrouping> read_groupings(const JsonPathReader& reader, int heads) {
  std::vector<LayerGrouping> groupings;
  for (std::size_t i = 0; i < reader.size(); ++i) groupings.push_back(read_grouping(reader.at(i), heads));
  return groupings;
}

/// Layers are those of a model, all of them, or keys of a file of distances.
LayerFront read_layer(const JsonPathReader& reader, int least, int most, int heads) {
  LayerFront layer;
  layer.layer = static_cast<int>(reader.at("layer").integer(0, kMaxCount));
  if (layer.layer < least || layer.layer > most) {
    reader.at("layer").fail("layers must be listed in order", std::to_string(layer.layer));
  }
  layer.heads = static_cast<int>(reader.at("kv_heads").integer(heads, heads));
  layer.one_group_cost = reader.at("one_group_cost").non_negative();
  layer.evaluations = reader.at("evaluations").integer(0, std::numeric_limits<std::int64_t>::max());
  layer.groupings = read_groupings(reader.at("groupings"), heads);
  if (reader.has("kdgqa")) layer.kdgqa = read_groupings(reader.at("kdgqa"), heads);
  return layer;
}

ModelPoint read_point(const JsonPathReader& reader, const ReportModel& model) {
  ModelPoint point;
  point.cost = reader.at("cost").non_negative();
  read_bound(reader, point.cost, point.lower_bound, point.proven);
  point.cardinality = read_cardinality(reader.at("cardinality"));
  const JsonPathReader labels = reader.at("labels");
  if (labels.size() != static_cast<std::size_t>(model.layers))
    labels.fail("must have one entry per layer", std::to_string(labels.size()));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    point.layers.push_back(read_labels(labels.at(i), model.kv_heads));
    point.kv_heads += point.layers.back().groups();
  }
  const std::int64_t stated = reader.at("kv_heads").integer(1, kMaxCount);
  if (stated != point.kv_heads)
    reader.at("kv_heads")
        .fail("must be the sum of the group counts, " + std::to_string(point.kv_heads), std::to_string(stated));
  return point;
}

std::vector<ModelPoint> read_points(const JsonPathReader& reader, const ReportModel& model) {
  std::vector<ModelPoint> points;
  for (std::size_t i = 0; i < reader.size(); ++i) points.push_back(read_point(reader.at(i), model));
  return points;
}

std::vector<Baseline> read_baselines(const JsonPathReader& reader, const ReportModel& model) {
  std::vector<Baseline> baselines;
  for (std::size_t i = 0; i < reader.size(); ++i) {
    const JsonPathReader entry = reader.at(i);
    baselines.push_back({entry.at("name").text(), static_cast<int>(entry.at("groups").integer(1, model.kv_heads)),
                         entry.at("kv_fraction").non_negative(), entry.at("cost").non_negative()});
  }
  return baselines;
}

Plan read_plan(const JsonPathReader& reader, const ReportModel& model) {
  const JsonPathReader layers = reader.at("layers");
  if (layers.size() != static_cast<std::size_t>(model.layers)) {
    layers.fail("must have one entry per layer", std::to_string(layers.size()));
  }
  std::vector<Grouping> groupings;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    groupings.push_back(read_labels(layers.at(i).at("labels"), model.kv_heads));
  }
  Plan plan = Plan::of(groupings, reader.at("cost").non_negative(), reader.at("origin").text());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const JsonPathReader layer = layers.at(i);
    if (layer.has("kv_source")) {
      plan.layers[i].kv_source = static_cast<int>(layer.at("kv_source").integer(0, model.layers - 1));
    }
  }
  return plan;
}

MergeKind read_merge_kind(const JsonPathReader& reader) {
  for (const MergeKind kind : kMergeKinds) {
    if (merge_kind_name(kind) == reader.text()) return kind;
  }
  reader.fail("must be a kind of merge", reader.text());
}

bool read_keys_pooled(const JsonPathReader& reader) {
  const std::string keys = reader.text();
  if (keys != "free" && keys != "pooled by direction") reader.fail("must be free or pooled by direction", keys);
  return keys != "free";
}

MergeSummary read_merge(const JsonPathReader& reader, const ReportModel& model) {
  MergeSummary merge{.kind = read_merge_kind(reader.at("kind")),
                     .calibration_tokens = reader.at("calibration_tokens").integer(0, std::int64_t{1} << 62),
                     .keys_pooled = read_keys_pooled(reader.at("keys")),
                     .layers = {},
                     .distillation = {},
                     .seconds = reader.at("seconds").non_negative(),
                     .ladder = {}};
  const JsonPathReader layers = reader.at("layers");
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const JsonPathReader layer = layers.at(i);
    merge.layers.push_back({.layer = static_cast<int>(layer.at("layer").integer(0, model.layers - 1)),
                            .subspace_error = layer.at("subspace_error").non_negative(),
                            .refit_error = layer.at("refit_error").non_negative(),
                            .error = layer.at("error").non_negative(),
                            .steps = static_cast<int>(layer.at("steps").integer(0, 1 << 30))});
  }
  if (reader.has("distillation")) {
    const JsonPathReader distillation = reader.at("distillation");
    merge.distillation = {.before = distillation.at("kl_before").non_negative(),
                          .after = distillation.at("kl_after").non_negative(),
                          .steps = static_cast<int>(distillation.at("steps").integer(0, 1 << 30))};
  }
  if (!reader.has("ladder")) return merge;
  const JsonPathReader ladder = reader.at("ladder");
  for (std::size_t i = 0; i < ladder.size(); ++i) {
    merge.ladder.push_back({ladder.at(i).at("merge").text(), ladder.at(i).at("perplexity").non_negative()});
  }
  return merge;
}

Evaluation read_evaluation(const JsonPathReader& reader) {
  static constexpr std::int64_t kMost = std::int64_t{1} << 62;
  Evaluation evaluation{.perplexity = reader.at("perplexity").non_negative(),
                        .cross_entropy = reader.at("cross_entropy").non_negative(),
                        .standard_error = reader.at("standard_error").non_negative(),
                        .tokens = reader.at("tokens").integer(1, kMost),
                        .documents = reader.at("documents").integer(1, kMost),
                        .kv_bytes_per_token = reader.at("kv_bytes_per_token").integer(1, kMost),
                        .tokens_per_second = reader.at("tokens_per_second").non_negative(),
                        .reference = {}};
  if (!reader.has("reference")) return evaluation;
  const JsonPathReader reference = reader.at("reference");
  evaluation.reference = {.perplexity = reference.at("perplexity").non_negative(),
                          .cross_entropy = reference.has("cross_entropy")
                                               ? reference.at("cross_entropy").non_negative()
                                               : std::log(reference.at("perplexity").non_negative()),
                          .kl_mean = reference.at("kl_mean").non_negative(),
                          .kl_p99 = reference.at("kl_p99").non_negative(),
                          .top1_agreement = reference.at("top1_agreement").non_negative(),
                          .difference = reference.at("difference").number(),
                          .difference_error = reference.at("difference_error").non_negative()};
  return evaluation;
}

/// What is told of the search as a whole. The first reports told nothing: theirs are the layers' evaluations alone.
void read_search_facts(const JsonPathReader& root, SearchResult& search) {
  if (!root.has("search")) {
    for (const LayerFront& layer : search.layers) search.evaluations += layer.evaluations;
    return;
  }
  const JsonPathReader facts = root.at("search");
  search.evaluations = facts.at("evaluations").integer(0, std::numeric_limits<std::int64_t>::max());
  const std::string stop = facts.at("stop").text();
  if (stop != "completed" && stop != "interrupted") facts.at("stop").fail("must be completed or interrupted", stop);
  search.stop = stop == "completed" ? StopReason::completed : StopReason::interrupted;
}

}  // namespace

Report report_from_json(const nlohmann::json& document, std::string_view where) {
  const JsonPathReader root(document, std::string(where));
  if (root.at("schema_version").value() != 1) {
    throw Error(ErrorKind::unsupported, where, "schema_version must be 1", root.at("schema_version").value().dump(),
                "Read it with the qcqa that wrote it.");
  }
  Report report;
  report.tool_version = root.at("tool").at("version").text();
  report.tool_commit = root.at("tool").at("commit").text();
  report.model = read_model(root.at("model"));
  if (!root.at("options").value().is_object()) root.at("options").fail("must be an object");
  report.options = root.at("options").value();
  report.fitness_name = root.at("fitness").at("name").text();
  report.fitness_unit = root.at("fitness").at("unit").text();
  const JsonPathReader timings = root.at("timings");
  if (!timings.value().is_object()) timings.fail("must be an object");
  for (const auto& [name, seconds] : timings.value().items()) report.timings[name] = timings.at(name).non_negative();

  const JsonPathReader layers = root.at("layers");
  if (layers.size() != static_cast<std::size_t>(report.model.layers)) {
    layers.fail("must have one entry per layer, " + std::to_string(report.model.layers), std::to_string(layers.size()));
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const int next = i == 0 ? 0 : report.search.layers.back().layer + 1;
    const int most = report.model.family == kDistancesFamily ? static_cast<int>(kMaxCount) : next;
    report.search.layers.push_back(read_layer(layers.at(i), next, most, report.model.kv_heads));
  }
  read_search_facts(root, report.search);
  report.search.front = read_points(root.at("front"), report.model);
  report.search.uniform = read_points(root.at("uniform"), report.model);
  report.baselines = read_baselines(root.at("baselines"), report.model);
  report.hypervolume = root.at("hypervolume").at("value").non_negative();
  report.hypervolume_reference_cost = root.at("hypervolume").at("reference").at("cost").non_negative();
  if (root.has("plan")) report.plan = read_plan(root.at("plan"), report.model);
  if (root.has("merge")) report.merge = read_merge(root.at("merge"), report.model);
  if (root.has("evaluation")) report.evaluation = read_evaluation(root.at("evaluation"));
  return report;
}

Report read_report(const std::filesystem::path& file) {
  return report_from_json(read_json_file(file, "A report is what `qcqa search` writes."), file.string());
}

}  // namespace qcqa
