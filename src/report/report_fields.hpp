#pragma once

#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "checkpoint/json_view.hpp"
#include "qcqa/report/report.hpp"
#include "qcqa/support/limits.hpp"
#include "report/field_rules.hpp"

// Every field of a report, once. See field_rules.hpp for how to read this.
namespace qcqa {

[[nodiscard]] inline Names<Cardinality> cardinality_names() {
  Names<Cardinality> names;
  for (const Cardinality value : {Cardinality::equal, Cardinality::arbitrary, Cardinality::contiguous}) {
    names.emplace_back(cardinality_name(value), value);
  }
  return names;
}

[[nodiscard]] inline Names<MergeKind> merge_names() {
  Names<MergeKind> names;
  for (const MergeMethod* method : merge_methods()) names.emplace_back(method->name, method->kind);
  return names;
}

template <typename V, Describes<ReportModel> T>
void fields(V& v, T& model) {
  v.field("path", model.path);
  v.field("fingerprint", model.fingerprint, "16 hexadecimal digits");
  v.field("family", model.family,
          "Architecture; \"distances\" when a file of head distances was searched: then path is that file, fingerprint "
          "is of the distances, query_heads = kv_heads, head_dim is 1 unless the file says more, dtype is \"none\", "
          "bytes count 2 per number, and `layer` is the key in the file");
  v.field("layers", model.layers, kCount);
  v.field("query_heads", model.query_heads, kCount);
  v.field("kv_heads", model.kv_heads, Integers{1, kMaxKvHeads});
  v.field("head_dim", model.head_dim, kCount);
  v.field("hidden_size", model.hidden_size, kCount);
  v.field("dtype", model.dtype);
  v.field("kv_bytes_per_token", model.kv_bytes_per_token, Integers{1, std::int64_t{1} << 50});
  v.check([&](const JsonView& view) {
    if (model.kv_bytes_per_head() < 1) view.corrupt("kv_bytes_per_token must be at least one byte per KV head");
  });
}

[[nodiscard]] inline std::vector<int> group_counts(const ModelPoint& point) {
  std::vector<int> counts;
  for (const Grouping& grouping : point.layers) counts.push_back(grouping.groups());
  return counts;
}

/// Lower bound, gap and proof of a cost.
template <typename V>
void bound_fields(V& v, const double& cost, auto& lower_bound, auto& proven, const char* about) {
  v.field("lower_bound", lower_bound, Numbers{}, about);
  v.derived("gap", bound_gap(cost, lower_bound), Numbers{0, 1}, "(cost - lower_bound) / cost; 0 where proven");
  v.field("proven", proven, "cost - lower_bound <= 1e-8 * cost");
  v.check([&](const JsonView& view) {
    if (lower_bound > cost)
      view.at("lower_bound").corrupt("must not exceed the cost", view.at("lower_bound").value().dump());
  });
}

template <typename V, Describes<LayerGrouping> T>
void grouping_fields(V& v, T& entry, const LayerFront& layer) {
  v.derived("groups", entry.grouping.groups(), kCount);
  v.choice("cardinality", entry.cardinality, cardinality_names());
  v.labels("labels", entry.grouping);
  v.field("cost", entry.cost, Numbers{});
  v.field("cost_k", entry.parts.k, Numbers{});
  v.field("cost_v", entry.parts.v, Numbers{});
  v.derived("normalized", layer.one_group_cost > 0 ? entry.cost / layer.one_group_cost : 0.0, Numbers{});
  bound_fields(v, entry.cost, entry.lower_bound, entry.proven,
               "No grouping of this class and group count costs less; 0 says nothing");
  v.field("source", entry.source);
  v.check([&](const JsonView& view) {
    const int groups = entry.grouping.groups();
    if (view.at("groups").integer(1, kMaxKvHeads) != groups) {
      view.at("groups").corrupt("must be the number of different labels", std::to_string(groups) + " labels");
    }
    if (entry.cardinality != Cardinality::arbitrary && !entry.grouping.has_equal_groups()) {
      view.at("labels").corrupt("groups of an equal or contiguous grouping must be of one size");
    }
  });
}

template <typename V, Describes<LayerFront> T>
void fields(V& v, T& layer) {
  v.field("layer", layer.layer, Integers{0, kMostCount});
  v.field("kv_heads", layer.heads, Integers{1, kMaxKvHeads});
  v.field("one_group_cost", layer.one_group_cost, Numbers{});
  v.field("evaluations", layer.evaluations, Integers{});
  const auto body = [&](auto& inner, auto& entry) { grouping_fields(inner, entry, layer); };
  v.list("groupings", "grouping", layer.groupings, body);
  v.optional_list(
      "kdgqa", "grouping", layer.kdgqa, body,
      "What KDGQA makes of the group counts that divide the heads, for comparison; left out where key norms "
      "are unknown");
  v.check([&](const JsonView& view) {
    if (layer.heads != v.model().kv_heads) {
      view.at("kv_heads")
          .corrupt("must be the model's KV heads, " + std::to_string(v.model().kv_heads), std::to_string(layer.heads));
    }
  });
}

template <typename V, Describes<ModelPoint> T>
void fields(V& v, T& point) {
  const ReportModel& model = v.model();
  v.derived("point", static_cast<std::int64_t>(v.index()), Integers{});
  v.field("kv_heads", point.kv_heads, kCount);
  v.derived("kv_bytes_per_token", point.kv_heads * model.kv_bytes_per_head(), Integers{1});
  v.derived("kv_fraction", static_cast<double>(point.kv_heads) / (static_cast<double>(model.layers) * model.kv_heads),
            Numbers{0, 1});
  v.field("cost", point.cost, Numbers{});
  bound_fields(v, point.cost, point.lower_bound, point.proven,
               "No plan of this kind with at most so many KV heads costs less; 0 says nothing");
  v.derived("groups", group_counts(point), "Per layer");
  v.choice("cardinality", point.cardinality, cardinality_names());
  v.labels_per_layer("labels", point.layers);
  v.check([&](const JsonView& view) {
    const std::vector<int> counts = group_counts(point);
    const int sum = std::accumulate(counts.begin(), counts.end(), 0);
    if (sum != point.kv_heads) {
      view.at("kv_heads")
          .corrupt("must be the sum of the group counts, " + std::to_string(sum), std::to_string(point.kv_heads));
    }
  });
}

template <typename V, Describes<Baseline> T>
void fields(V& v, T& baseline) {
  v.field("name", baseline.name, "\"mha\", \"gqa\", \"mqa\" or \"kdgqa\"");
  v.field("groups", baseline.groups, Integers{1, v.model().kv_heads});
  v.field("kv_fraction", baseline.kv_fraction, Numbers{0, 1});
  v.field("cost", baseline.cost, Numbers{});
}

template <typename V, Describes<LayerPlan> T>
void fields(V& v, T& layer) {
  v.labels("labels", layer.grouping);
  v.added("kv_source", layer.kv_source, Integers{0, v.model().layers - 1}, "The layer whose KV cache it reads");
}

template <typename V, Describes<Plan> T>
void fields(V& v, T& plan) {
  v.field("origin", plan.origin);
  v.field("cost", plan.cost, Numbers{});
  v.list_per_layer("layers", "planned_layer", plan.layers);
}

template <typename V, Describes<MeasuredPlan> T>
void fields(V& v, T& plan) {
  v.field("kv_heads", plan.kv_heads, kCount, "Of all layers");
  v.field("cross_entropy", plan.cross_entropy, Numbers{}, "Per token, in nats");
}

template <typename V, Describes<PlanComparison> T>
void fields(V& v, T& comparison) {
  v.choice("merge", comparison.merge, merge_names());
  v.field("calibration_tokens", comparison.calibration_tokens, Integers{}, "That both plans were fitted to");
  v.field("tokens", comparison.tokens, Integers{1}, "Predicted to measure both; neither saw them");
  v.field("original_cross_entropy", comparison.original, Numbers{}, "Per token, in nats");
  v.object("per_layer", [&](auto& plan) { fields(plan, comparison.per_layer); });
  v.object("uniform", [&](auto& plan) { fields(plan, comparison.uniform); });
  v.field("difference", comparison.difference, kAnyNumber,
          "Cross-entropy of the plan chosen layer by layer less that of the uniform one");
  v.field("difference_error", comparison.difference_error, Numbers{}, "Standard error of the difference, paired");
  v.choice("taken", comparison.takes_uniform, Names<bool>{{"per_layer", false}, {"uniform", true}});
}

template <typename V, Describes<MergedLayer> T>
void fields(V& v, T& layer) {
  v.field("layer", layer.layer, Integers{0, v.model().layers - 1});
  v.field("subspace_error", layer.subspace_error, Numbers{});
  v.field("refit_error", layer.refit_error, Numbers{});
  v.field("error", layer.error, Numbers{});
  v.added(
      "sink_error", layer.sink_error, Numbers{},
      "The error of sinks alone: first tokens of sequences, and tokens whose stream is far longer than all others'");
  v.added("sink_mass_before", layer.sink_mass_before, Numbers{0, 1},
          "Share of the other tokens' attention that goes to sinks, in the original");
  v.added("sink_mass", layer.sink_mass, Numbers{0, 1}, "The same, merged");
  v.field("steps", layer.steps, Integers{0, 1 << 30});
}

template <typename V, Describes<Distillation> T>
void fields(V& v, T& distillation) {
  v.field("kl_before", distillation.before, Numbers{});
  v.field("kl_after", distillation.after, Numbers{});
  v.field("steps", distillation.steps, Integers{0, 1 << 30});
}

template <typename V, Describes<ComparedMerge> T>
void fields(V& v, T& rung) {
  v.field("merge", rung.name);
  v.field("perplexity", rung.perplexity, Numbers{});
}

template <typename V, Describes<MergeSummary> T>
void fields(V& v, T& merge) {
  v.choice("kind", merge.kind, merge_names());
  v.field("calibration_tokens", merge.calibration_tokens, Integers{});
  v.choice("keys", merge.keys_pooled, Names<bool>{{"free", false}, {"pooled by direction", true}});
  v.field("seconds", merge.seconds, Numbers{});
  v.list("layers", "merged_layer", merge.layers);
  v.optional("distillation", merge.distillation);
  v.optional_list("ladder", "compared_merge", merge.ladder.rungs);
  v.added("ladder_tokens", merge.ladder.tokens, Integers{},
          "Predicted tokens that the ladder was measured on; no merge saw them");
}

template <typename V, Describes<ReferenceComparison> T>
void fields(V& v, T& reference) {
  v.field("perplexity", reference.perplexity, Numbers{});
  v.added("cross_entropy", reference.cross_entropy, Numbers{});
  v.field("kl_mean", reference.kl_mean, Numbers{});
  v.field("kl_p99", reference.kl_p99, Numbers{});
  v.field("top1_agreement", reference.top1_agreement, Numbers{0, 1});
  v.field("difference", reference.difference, kAnyNumber);
  v.field("difference_error", reference.difference_error, Numbers{});
  v.added("kv_bytes_per_token", reference.kv_bytes_per_token, Integers{});
}

[[nodiscard]] inline Names<KvCacheType> kv_cache_names() {
  Names<KvCacheType> names;
  for (const KvCacheFormat& format : kv_cache_formats()) names.emplace_back(format.name, format.type);
  return names;
}

template <typename V, Describes<RoundedCache> T>
void fields(V& v, T& cache) {
  v.choice("type", cache.type, kv_cache_names());
  v.field("bytes_per_token", cache.bytes_per_token, Integers{1});
  v.optional_number("reference_bytes_per_token", cache.reference_bytes_per_token, Integers{1},
                    "Of the reference, were its cache kept so as well");
}

template <typename V, Describes<PositionBucket> T>
void fields(V& v, T& bucket) {
  v.field("begin", bucket.begin, Integers{}, "The first position of a predicting token in its window");
  v.field("end", bucket.end, Integers{1}, "One more than the last");
  v.field("tokens", bucket.tokens, Integers{1});
  v.field("cross_entropy", bucket.cross_entropy, Numbers{});
  v.optional_number("difference", bucket.difference, kAnyNumber);
}

template <typename V, Describes<Evaluation> T>
void fields(V& v, T& evaluation) {
  v.field("perplexity", evaluation.perplexity, Numbers{});
  v.field("cross_entropy", evaluation.cross_entropy, Numbers{});
  v.field("standard_error", evaluation.standard_error, Numbers{});
  v.field("tokens", evaluation.tokens, Integers{1});
  v.field("documents", evaluation.documents, Integers{1});
  v.field("kv_bytes_per_token", evaluation.kv_bytes_per_token, Integers{1});
  v.optional("kv_cache", evaluation.kv_cache);
  v.field("tokens_per_second", evaluation.tokens_per_second, Numbers{});
  v.optional("reference", evaluation.reference);
  v.optional_list("by_position", "position_bucket", evaluation.by_position);
}

template <typename V, Describes<ChoiceAccuracy> T>
void fields(V& v, T& accuracy) {
  v.field("acc", accuracy.acc, Numbers{0, 1});
  v.field("acc_stderr", accuracy.acc_stderr, Numbers{});
  v.field("acc_norm", accuracy.acc_norm, Numbers{0, 1});
  v.field("acc_norm_stderr", accuracy.acc_norm_stderr, Numbers{});
}

template <typename V, Describes<ChoiceComparison> T>
void fields(V& v, T& reference) {
  fields(v, reference.accuracy);
  v.field("changed", reference.changed, Integers{});
  v.field("changed_norm", reference.changed_norm, Integers{});
}

template <typename V, Describes<ChoiceEvaluation> T>
void fields(V& v, T& choices) {
  v.field("questions", choices.questions, Integers{1});
  fields(v, choices.accuracy);
  v.optional("reference", choices.reference);
}

/// Layers are those of the model, all of them, or keys of a file of distances.
inline void require_layers_in_order(const Report& report, const JsonView& view) {
  const auto items = view.at("layers").items();
  const bool any = report.model.family == kDistancesFamily;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const int layer = report.search.layers[i].layer;
    const int next = i == 0 ? 0 : report.search.layers[i - 1].layer + 1;
    if (layer < next || (!any && layer > next)) {
      items[i].at("layer").corrupt("layers must be listed in order", std::to_string(layer));
    }
  }
}

template <typename V, Describes<Report> T>
void fields(V& v, T& report) {
  v.constant("schema_version", 1);
  v.object("tool", [&](auto& tool) {
    tool.constant("name", "qcqa");
    tool.field("version", report.tool_version);
    tool.field("commit", report.tool_commit);
  });
  v.object("model", [&](auto& model) { fields(model, report.model); });
  v.json("options", report.options);
  v.object("fitness", [&](auto& fitness) {
    fitness.field("name", report.fitness_name);
    fitness.field("unit", report.fitness_unit);
  });
  v.seconds("timings", report.timings);
  v.added_object("search", [&](auto& search) {
    search.field("evaluations", report.search.evaluations, Integers{}, "Of groupings in all layers and of plans");
    search.choice("stop", report.search.stop,
                  Names<StopReason>{{"completed", StopReason::completed}, {"interrupted", StopReason::interrupted}});
  });
  v.list_per_layer("layers", "layer", report.search.layers);
  v.list("front", "point", report.search.front);
  v.list("uniform", "point", report.search.uniform);
  v.list("baselines", "baseline", report.baselines);
  v.object("hypervolume", [&](auto& hypervolume) {
    hypervolume.field("value", report.hypervolume, Numbers{});
    hypervolume.object("reference", [&](auto& reference) {
      reference.derived("kv_fraction", 1.0, kAnyNumber);
      reference.field("cost", report.hypervolume_reference_cost, Numbers{});
    });
  });
  v.optional("plan", report.plan);
  v.optional("plan_comparison", report.plan_comparison);
  v.optional("merge", report.merge);
  v.optional("evaluation", report.evaluation);
  v.check([&](const JsonView& view) { require_layers_in_order(report, view); });
}

}  // namespace qcqa
