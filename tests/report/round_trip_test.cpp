// What a report holds is what comes back when it was written and read. Every field of every struct has a value of its
// own here, and is compared by name: a field that is added does not compile before it is in this file.
#include <gtest/gtest.h>

#include "qcqa/report/report.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

Grouping labels(std::initializer_list<int> labels) { return Grouping::from_labels(std::vector<int>(labels)); }

/// Other numbers for every `n`, none of them short in decimal.
double number(int n) { return n + 1.0 / 3; }

LayerGrouping layer_grouping(int n, Grouping grouping, Cardinality cardinality) {
  return {.grouping = std::move(grouping),
          .cardinality = cardinality,
          .cost = number(n),
          .parts = {.k = number(n + 1), .v = number(n + 2)},
          .source = "source " + std::to_string(n),
          .lower_bound = number(n) / 7,
          .proven = n % 2 == 1};
}

LayerFront layer_front(int layer, int n) {
  return {.layer = layer,
          .heads = 4,
          .one_group_cost = number(n),
          .groupings = {layer_grouping(n + 1, labels({0, 0, 1, 1}), Cardinality::contiguous),
                        layer_grouping(n + 4, labels({0, 1, 1, 0}), Cardinality::equal)},
          .evaluations = n + 5,
          .kdgqa = {layer_grouping(n + 6, labels({0, 1, 1, 1}), Cardinality::arbitrary)}};
}

ModelPoint model_point(int n, Cardinality cardinality, Grouping first, Grouping second) {
  return {.kv_heads = first.groups() + second.groups(),
          .cost = number(n),
          .cardinality = cardinality,
          .layers = {first, second},
          .lower_bound = number(n) / 9,
          .proven = true};
}

Evaluation full_evaluation() {
  return {
      .perplexity = number(80),
      .cross_entropy = number(81),
      .standard_error = number(82),
      .tokens = 83,
      .documents = 84,
      .kv_bytes_per_token = 85,
      .kv_cache = RoundedCache{.type = KvCacheType::q8_0, .bytes_per_token = 102, .reference_bytes_per_token = 103},
      .tokens_per_second = number(86),
      .reference = ReferenceComparison{.perplexity = number(87),
                                       .cross_entropy = number(88),
                                       .kl_mean = number(89),
                                       .kl_p99 = number(90),
                                       .top1_agreement = 1.0 / 7,
                                       .difference = -number(91),
                                       .difference_error = number(92),
                                       .kv_bytes_per_token = 104},
      .by_position = {{.begin = 0, .end = 1, .tokens = 105, .cross_entropy = number(106), .difference = -number(107)},
                      {.begin = 1, .end = 2, .tokens = 108, .cross_entropy = number(109)}}};
}

Report full_report() {
  return {.tool_version = "9.8.7",
          .tool_commit = "0123abc",
          .model = {.path = "some/folder",
                    .fingerprint = "0123456789abcdef",
                    .family = "llama",
                    .dtype = "BF16",
                    .layers = 2,
                    .query_heads = 8,
                    .kv_heads = 4,
                    .head_dim = 16,
                    .hidden_size = 128,
                    .kv_bytes_per_token = 512},
          .options = {{"seed", 5}, {"rate", number(0)}, {"keep_layers", {1}}},
          .fitness_name = "measured",
          .fitness_unit = "nats",
          .timings = {{"search", number(1)}, {"fitness_tables", number(2)}},
          .search = {.layers = {layer_front(0, 10), layer_front(1, 30)},
                     .front = {model_point(50, Cardinality::arbitrary, labels({0, 1, 2, 1}), labels({0, 1, 1, 1})),
                               model_point(51, Cardinality::arbitrary, labels({0, 0, 0, 0}), labels({0, 0, 1, 0}))},
                     .uniform = {model_point(52, Cardinality::equal, labels({0, 1, 0, 1}), labels({0, 1, 1, 0}))},
                     .evaluations = 12345,
                     .stop = StopReason::interrupted},
          .baselines = {{.name = "gqa", .groups = 2, .kv_fraction = 0.5, .cost = number(60)},
                        {.name = "kdgqa", .groups = 3, .kv_fraction = 0.75, .cost = number(61)}},
          .hypervolume = number(62),
          .hypervolume_reference_cost = number(63),
          .plan = Plan{.layers = {{.grouping = labels({0, 1, 2, 1}), .kv_source = 0},
                                  {.grouping = labels({0, 1, 1, 1}), .kv_source = 0}},
                       .cost = number(64),
                       .origin = "report point 1"},
          .plan_comparison = PlanComparison{.merge = MergeKind::refit,
                                            .calibration_tokens = 110,
                                            .tokens = 111,
                                            .original = number(112),
                                            .per_layer = {.kv_heads = 113, .cross_entropy = number(114)},
                                            .uniform = {.kv_heads = 115, .cross_entropy = number(116)},
                                            .difference = -number(117),
                                            .difference_error = number(118),
                                            .takes_uniform = true},
          .merge = MergeSummary{.kind = MergeKind::reconstruct,
                                .calibration_tokens = 4096,
                                .keys_pooled = true,
                                .layers = {{.layer = 1,
                                            .subspace_error = number(70),
                                            .refit_error = number(71),
                                            .error = number(72),
                                            .sink_error = number(100),
                                            .sink_mass_before = 0.25,
                                            .sink_mass = 0.375,
                                            .steps = 73}},
                                .distillation = Distillation{.before = number(74), .after = number(75), .steps = 76},
                                .seconds = number(77),
                                .ladder = {.rungs = {{.name = "original", .perplexity = number(78)},
                                                     {.name = "reconstruct", .perplexity = number(79)}},
                                           .tokens = 101}},
          .evaluation = full_evaluation()};
}

/// One function per struct, which takes all fields apart: the compiler knows their number.
struct Expect {
  template <typename Item>
  static void lists(const std::vector<Item>& a, const std::vector<Item>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      SCOPED_TRACE(i);
      equal(a[i], b[i]);
    }
  }

  template <typename Item>
  static void optionals(const std::optional<Item>& a, const std::optional<Item>& b) {
    ASSERT_EQ(a.has_value(), b.has_value());
    if (a) equal(*a, *b);
  }

  static void equal(const ReportModel& a, const ReportModel& b) {
    const auto& [path, fingerprint, family, dtype, layers, query_heads, kv_heads, head_dim, hidden_size, bytes] = a;
    EXPECT_EQ(path, b.path);
    EXPECT_EQ(fingerprint, b.fingerprint);
    EXPECT_EQ(family, b.family);
    EXPECT_EQ(dtype, b.dtype);
    EXPECT_EQ(layers, b.layers);
    EXPECT_EQ(query_heads, b.query_heads);
    EXPECT_EQ(kv_heads, b.kv_heads);
    EXPECT_EQ(head_dim, b.head_dim);
    EXPECT_EQ(hidden_size, b.hidden_size);
    EXPECT_EQ(bytes, b.kv_bytes_per_token);
  }

  static void equal(const LayerGrouping& a, const LayerGrouping& b) {
    const auto& [grouping, cardinality, cost, parts, source, lower_bound, proven] = a;
    const auto& [k, v] = parts;
    EXPECT_EQ(grouping, b.grouping);
    EXPECT_EQ(cardinality, b.cardinality);
    EXPECT_EQ(cost, b.cost);
    EXPECT_EQ(k, b.parts.k);
    EXPECT_EQ(v, b.parts.v);
    EXPECT_EQ(source, b.source);
    EXPECT_EQ(lower_bound, b.lower_bound);
    EXPECT_EQ(proven, b.proven);
  }

  static void equal(const LayerFront& a, const LayerFront& b) {
    const auto& [layer, heads, one_group_cost, groupings, evaluations, kdgqa] = a;
    EXPECT_EQ(layer, b.layer);
    EXPECT_EQ(heads, b.heads);
    EXPECT_EQ(one_group_cost, b.one_group_cost);
    EXPECT_EQ(evaluations, b.evaluations);
    lists(groupings, b.groupings);
    lists(kdgqa, b.kdgqa);
  }

  static void equal(const ModelPoint& a, const ModelPoint& b) {
    const auto& [kv_heads, cost, cardinality, layers, lower_bound, proven] = a;
    EXPECT_EQ(kv_heads, b.kv_heads);
    EXPECT_EQ(cost, b.cost);
    EXPECT_EQ(cardinality, b.cardinality);
    EXPECT_EQ(layers, b.layers);
    EXPECT_EQ(lower_bound, b.lower_bound);
    EXPECT_EQ(proven, b.proven);
  }

  static void equal(const SearchResult& a, const SearchResult& b) {
    const auto& [layers, front, uniform, evaluations, stop] = a;
    lists(layers, b.layers);
    lists(front, b.front);
    lists(uniform, b.uniform);
    EXPECT_EQ(evaluations, b.evaluations);
    EXPECT_EQ(stop, b.stop);
  }

  static void equal(const Baseline& a, const Baseline& b) {
    const auto& [name, groups, kv_fraction, cost] = a;
    EXPECT_EQ(name, b.name);
    EXPECT_EQ(groups, b.groups);
    EXPECT_EQ(kv_fraction, b.kv_fraction);
    EXPECT_EQ(cost, b.cost);
  }

  static void equal(const LayerPlan& a, const LayerPlan& b) {
    const auto& [grouping, kv_source] = a;
    EXPECT_EQ(grouping, b.grouping);
    EXPECT_EQ(kv_source, b.kv_source);
  }

  static void equal(const Plan& a, const Plan& b) {
    const auto& [layers, cost, origin] = a;
    lists(layers, b.layers);
    EXPECT_EQ(cost, b.cost);
    EXPECT_EQ(origin, b.origin);
  }

  static void equal(const MergedLayer& a, const MergedLayer& b) {
    const auto& [layer, subspace_error, refit_error, error, sink_error, sink_mass_before, sink_mass, steps] = a;
    EXPECT_EQ(layer, b.layer);
    EXPECT_EQ(subspace_error, b.subspace_error);
    EXPECT_EQ(refit_error, b.refit_error);
    EXPECT_EQ(error, b.error);
    EXPECT_EQ(sink_error, b.sink_error);
    EXPECT_EQ(sink_mass_before, b.sink_mass_before);
    EXPECT_EQ(sink_mass, b.sink_mass);
    EXPECT_EQ(steps, b.steps);
  }

  static void equal(const MeasuredPlan& a, const MeasuredPlan& b) {
    const auto& [kv_heads, cross_entropy] = a;
    EXPECT_EQ(kv_heads, b.kv_heads);
    EXPECT_EQ(cross_entropy, b.cross_entropy);
  }

  static void equal(const PlanComparison& a, const PlanComparison& b) {
    const auto& [merge, calibration_tokens, tokens, original, per_layer, uniform, difference, difference_error,
                 takes_uniform] = a;
    EXPECT_EQ(merge, b.merge);
    EXPECT_EQ(calibration_tokens, b.calibration_tokens);
    EXPECT_EQ(tokens, b.tokens);
    EXPECT_EQ(original, b.original);
    equal(per_layer, b.per_layer);
    equal(uniform, b.uniform);
    EXPECT_EQ(difference, b.difference);
    EXPECT_EQ(difference_error, b.difference_error);
    EXPECT_EQ(takes_uniform, b.takes_uniform);
  }

  static void equal(const Distillation& a, const Distillation& b) {
    const auto& [before, after, steps] = a;
    EXPECT_EQ(before, b.before);
    EXPECT_EQ(after, b.after);
    EXPECT_EQ(steps, b.steps);
  }

  static void equal(const ComparedMerge& a, const ComparedMerge& b) {
    const auto& [name, perplexity] = a;
    EXPECT_EQ(name, b.name);
    EXPECT_EQ(perplexity, b.perplexity);
  }

  static void equal(const MergeSummary& a, const MergeSummary& b) {
    const auto& [kind, calibration_tokens, keys_pooled, layers, distillation, seconds, ladder] = a;
    EXPECT_EQ(kind, b.kind);
    EXPECT_EQ(calibration_tokens, b.calibration_tokens);
    EXPECT_EQ(keys_pooled, b.keys_pooled);
    lists(layers, b.layers);
    optionals(distillation, b.distillation);
    EXPECT_EQ(seconds, b.seconds);
    equal(ladder, b.ladder);
  }

  static void equal(const MergeLadder& a, const MergeLadder& b) {
    const auto& [rungs, tokens] = a;
    lists(rungs, b.rungs);
    EXPECT_EQ(tokens, b.tokens);
  }

  static void equal(const ReferenceComparison& a, const ReferenceComparison& b) {
    const auto& [perplexity, cross_entropy, kl_mean, kl_p99, top1_agreement, difference, difference_error, bytes] = a;
    EXPECT_EQ(perplexity, b.perplexity);
    EXPECT_EQ(cross_entropy, b.cross_entropy);
    EXPECT_EQ(kl_mean, b.kl_mean);
    EXPECT_EQ(kl_p99, b.kl_p99);
    EXPECT_EQ(top1_agreement, b.top1_agreement);
    EXPECT_EQ(difference, b.difference);
    EXPECT_EQ(difference_error, b.difference_error);
    EXPECT_EQ(bytes, b.kv_bytes_per_token);
  }

  static void equal(const RoundedCache& a, const RoundedCache& b) {
    const auto& [type, bytes, reference_bytes] = a;
    EXPECT_EQ(type, b.type);
    EXPECT_EQ(bytes, b.bytes_per_token);
    EXPECT_EQ(reference_bytes, b.reference_bytes_per_token);
  }

  static void equal(const PositionBucket& a, const PositionBucket& b) {
    const auto& [begin, end, tokens, cross_entropy, difference] = a;
    EXPECT_EQ(begin, b.begin);
    EXPECT_EQ(end, b.end);
    EXPECT_EQ(tokens, b.tokens);
    EXPECT_EQ(cross_entropy, b.cross_entropy);
    EXPECT_EQ(difference, b.difference);
  }

  static void equal(const Evaluation& a, const Evaluation& b) {
    const auto& [perplexity, cross_entropy, standard_error, tokens, documents, bytes, kv_cache, tokens_per_second,
                 reference, by_position] = a;
    EXPECT_EQ(perplexity, b.perplexity);
    EXPECT_EQ(cross_entropy, b.cross_entropy);
    EXPECT_EQ(standard_error, b.standard_error);
    EXPECT_EQ(tokens, b.tokens);
    EXPECT_EQ(documents, b.documents);
    EXPECT_EQ(bytes, b.kv_bytes_per_token);
    optionals(kv_cache, b.kv_cache);
    EXPECT_EQ(tokens_per_second, b.tokens_per_second);
    optionals(reference, b.reference);
    lists(by_position, b.by_position);
  }

  static void equal(const Report& a, const Report& b) {
    const auto& [tool_version, tool_commit, model, options, fitness_name, fitness_unit, timings, search, baselines,
                 hypervolume, hypervolume_reference_cost, plan, plan_comparison, merge, evaluation] = a;
    EXPECT_EQ(tool_version, b.tool_version);
    EXPECT_EQ(tool_commit, b.tool_commit);
    equal(model, b.model);
    EXPECT_EQ(nlohmann::json(options), nlohmann::json(b.options));  // JSON objects have no order
    EXPECT_EQ(fitness_name, b.fitness_name);
    EXPECT_EQ(fitness_unit, b.fitness_unit);
    EXPECT_EQ(timings, b.timings);
    equal(search, b.search);
    lists(baselines, b.baselines);
    EXPECT_EQ(hypervolume, b.hypervolume);
    EXPECT_EQ(hypervolume_reference_cost, b.hypervolume_reference_cost);
    optionals(plan, b.plan);
    optionals(plan_comparison, b.plan_comparison);
    optionals(merge, b.merge);
    optionals(evaluation, b.evaluation);
  }
};

TEST(ReportRoundTrip, EveryFieldComesBack) {
  const TemporaryFolder folder;
  const Report report = full_report();
  Expect::equal(report, read_report(folder.write("report.json", to_json(report).dump())));
}

TEST(ReportRoundTrip, WhatIsNotThereStaysAway) {
  Report report = full_report();
  report.plan.reset();
  report.plan_comparison->takes_uniform = false;
  report.merge->distillation.reset();
  report.merge->ladder.rungs.clear();
  report.merge->keys_pooled = false;
  report.evaluation->reference.reset();
  report.evaluation->kv_cache->reference_bytes_per_token.reset();
  report.search.layers[0].kdgqa.clear();
  report.search.stop = StopReason::completed;
  Expect::equal(report, report_from_json(to_json(report), "report.json"));
  report.plan_comparison.reset();
  report.merge.reset();
  report.evaluation.reset();
  Expect::equal(report, report_from_json(to_json(report), "report.json"));
}

TEST(ReportRoundTrip, ReportsWithoutFactsOfTheSearchAreRead) {
  nlohmann::json document = to_json(full_report());
  document.erase("search");
  const SearchResult search = report_from_json(document, "report.json").search;
  EXPECT_EQ(search.evaluations, 15 + 35);
  EXPECT_EQ(search.stop, StopReason::completed);
}

}  // namespace
}  // namespace qcqa
