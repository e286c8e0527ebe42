// What people see of a report, to the letter. The numbers follow from the distances below by hand: in layer 0 heads 0
// and 2 are near, and 1 and 3; layer 1 is the same with everything three times as far.
#include "qcqa/report/sections.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "qcqa/fitness/pairwise_cost.hpp"
#include "qcqa/search/plan_choice.hpp"

namespace qcqa {
namespace {

PairwiseCost cost_of(double unit) {
  std::vector<double> distances = {0,  10, 2,  10,  //
                                   10, 0,  10, 4,   //
                                   2,  10, 0,  10,  //
                                   10, 4,  10, 0};
  for (double& distance : distances) distance *= unit;
  return {4, distances, std::vector<double>(16, 0)};
}

Report report_of(double first, double second) {
  const PairwiseCost a = cost_of(first);
  const PairwiseCost b = cost_of(second);
  Report report;
  report.search = ModelSearch({&a, &b}, {}).run();
  report.model = {"some/model", "0123456789abcdef", "llama", "BF16", 2, 8, 4, 16, 128, 2 * 4 * 2 * 16 * 2};
  report.timings = {{"fitness", 0.5}, {"search", 0.25}};
  report.plan = plan_for_groups(report.search, 2, Cardinality::equal);
  derive_comparisons(report);
  report.tool_version = "1.2.3";
  report.tool_commit = "abc";
  return report;
}

TEST(ReportTables, ShowAReportToTheLetter) {
  EXPECT_EQ("\n" + text_of(report_sections(report_of(1, 3))), R"(
some/model
  llama, 2 layers, 8 query and 4 KV heads of 16 in each, BF16
  KV cache 512 B per token, fingerprint 0123456789abcdef
  fitness wse (sum of squared errors of the weights), qcqa 1.2.3 (abc)

Front: best plan at each KV size, any groups (--layout expanded)
  point  KV heads  KV cache  per token  cost   of MQA  gap    groups
  0             8   100.0 %      512 B     0    0.0 %    0    4 each
  1             7    87.5 %      448 B     1    2.2 %    0    3 4
  2             6    75.0 %      384 B     3    6.5 %    0    2 4
  3             5    62.5 %      320 B     6   13.0 %    0    2 3
  4             4    50.0 %      256 B    12   26.1 %    0    2 each
  5             3    37.5 %      192 B  20.5   44.6 %    0    1 2
  6             2    25.0 %      128 B    46  100.0 %    0    1 each
  hypervolume 0.50951 of at most 1, against all heads at the cost of MQA

Uniform plans: equal groups, one group count for all layers (--layout gqa)
  point  KV heads  KV cache  per token  cost   of MQA  gap    groups
  -             8   100.0 %      512 B     0    0.0 %    0    4 each
  -             4    50.0 %      256 B    12   26.1 %    0    2 each
  -             2    25.0 %      128 B    46  100.0 %    0    1 each

Baselines: contiguous groups, as mean-pooling GQA makes them (kdgqa: of sizes that follow the key norms)
  baseline  groups  KV cache  cost   of MQA
  mha            4   100.0 %     0    0.0 %
  gqa            2    50.0 %    40   87.0 %
  mqa            1    25.0 %    46  100.0 %

Layers: cost of the best grouping as a share of the layer's MQA cost, by kind and number of groups
  layer  MQA cost  any 2  equal 2  contig. 2  any 1  equal 1  contig. 1
  0          11.5  0.261    0.261      0.870  1.000    1.000      1.000
  1          34.5  0.261    0.261      0.870  1.000    1.000      1.000

Bounds: how far below the groupings found the best of the layer can lie, at most
  kind       groupings  proven  widest gap
  arbitrary          8       8           0
  equal              6       6           0

Plan: 2 groups per layer, equal, cost 12
  layer  groups    group of each KV head
  0           2    0 1 0 1
  1           2    0 1 0 1

Timings
  step     seconds
  fitness    0.500
  search     0.250
)");
}

TEST(ReportTables, CompareTwoReportsToTheLetter) {
  Report other = report_of(1, 1);
  other.model.path = "other/model";
  other.model.fingerprint = "fedcba9876543210";
  other.fitness_name = "aligned";
  EXPECT_EQ("\n" + text_of(compare_sections(report_of(1, 3), "a.json", other, "b.json")), R"(
Reports
  A: a.json (some/model, wse)
  B: b.json (other/model, aligned)
  These are reports about different models.
  Their costs are of different kinds: compare shapes, not values.

Front, cost as a share of one group per layer (MQA)
  KV cache  A, of MQA  B, of MQA   B / A
  100.0 %      0.0000     0.0000       -
  87.5 %       0.0217     0.0435  2.0000
  75.0 %       0.0652     0.0870  1.3333
  62.5 %       0.1304     0.1739  1.3333
  50.0 %       0.2609     0.2609  1.0000
  37.5 %       0.4457     0.6304  1.4146
  25.0 %       1.0000     1.0000  1.0000

Uniform plans
  KV cache  A, of MQA  B, of MQA   B / A
  100.0 %      0.0000     0.0000       -
  50.0 %       0.2609     0.2609  1.0000
  25.0 %       1.0000     1.0000  1.0000

hypervolume A 0.509511, B 0.475543
)");
}

TEST(ReportTables, CompareOnlySizesThatBothHave) {
  const Report whole = report_of(1, 3);
  Report part = whole;
  part.search.front.erase(part.search.front.begin() + 1, part.search.front.end() - 1);
  const std::string text = text_of(compare_sections(whole, "a", part, "b"));
  EXPECT_NE(text.find("25.0 %       1.0000     1.0000  1.0000\n\nUniform"), std::string::npos) << text;
  EXPECT_EQ(text.find("75.0 %"), std::string::npos) << text;
}

TEST(ReportTables, EvaluationsShowBothModelsAndTheirDifference) {
  Report report = report_of(1, 3);
  report.evaluation = {.perplexity = 12.5,
                       .cross_entropy = 2.5257,
                       .standard_error = 0.03,
                       .tokens = 640,
                       .documents = 3,
                       .reference = ReferenceComparison{.perplexity = 10,
                                                        .cross_entropy = 2.3026,
                                                        .kl_mean = 0.25,
                                                        .kl_p99 = 1.5,
                                                        .top1_agreement = 0.875,
                                                        .difference = std::log(1.25),
                                                        .difference_error = 0.011}};
  EXPECT_EQ("\n" + text_of(report_sections(report, {"evaluation"})), R"(
Evaluation on 640 tokens of 3 document(s)
  model       perplexity       cross-entropy  KL mean  KL p99  same likeliest token
  converted         12.5   2.5257 +/- 0.0300   0.2500  1.5000               87.50 %
  original            10              2.3026        -       -                     -
  difference    +25.00 %  +0.2231 +/- 0.0110        -       -                     -
)");
}

TEST(ReportTables, PlansThatWereComparedShowBothFigures) {
  Report report = report_of(1, 3);
  report.plan = Plan::of({Grouping::from_labels(std::vector{0, 1, 1})}, 7, "best of all");
  report.plan_comparison = {.merge = MergeKind::refit,
                            .calibration_tokens = 8192,
                            .tokens = 4000,
                            .original = 2.5,
                            .per_layer = {.kv_heads = 2, .cross_entropy = 3.125},
                            .uniform = {.kv_heads = 1, .cross_entropy = 3},
                            .difference = 0.125,
                            .difference_error = 0.02,
                            .takes_uniform = true};
  const std::string both =
      "2 KV heads chosen layer by layer: cross-entropy +0.6250 nats from the original's 2.5000; 1 KV heads, as many in "
      "every layer: +0.5000; difference +0.1250 +/- 0.0200 on 4000 tokens that neither saw (merge refit";
  EXPECT_EQ(text_of(report_sections(report, {"plan"})),
            "Plan: best of all, cost 7\n  " + both + " fitted to 8192 tokens). Taken: as many in every layer.\n" +
                "  layer  groups    group of each KV head\n  0           2    0 1 1\n");
  report.plan_comparison->calibration_tokens = 0;
  report.plan_comparison->takes_uniform = false;
  EXPECT_EQ(text_of(*report.plan_comparison), both + "). Taken: layer by layer.");
}

TEST(ReportTables, MergesShowTheirErrorsAndWhatOthersCameTo) {
  Report report = report_of(1, 3);
  report.merge = {.kind = MergeKind::reconstruct,
                  .calibration_tokens = 8192,
                  .layers = {{.layer = 0,
                              .subspace_error = 0.5,
                              .refit_error = 0.25,
                              .error = 0.125,
                              .sink_error = 0.000034,
                              .sink_mass_before = 0.75,
                              .sink_mass = 0.7,
                              .steps = 40}},
                  .seconds = 2.5,
                  .ladder = {.rungs = {{"original", 10}, {"mean", 40}, {"reconstruct", 12.5}}, .tokens = 640}};
  EXPECT_EQ("\n" + text_of(report_sections(report, {"merge"})), R"(
Merge: reconstruct, 8192 calibration tokens, 2.5 s
  not distilled: --distill-steps 0, or the layers need more than --memory
  nats above the original's 2.3026 on 640 tokens: mean +1.3863, reconstruct +0.2231
  error of each layer's output, as a share of its square:
  layer  heads merged  refitted  in the end  steps  of sinks  attention to sinks  before
      0        0.5000    0.2500      0.1250     40   3.4e-05               0.700   0.750
)");
  report.merge->distillation = Distillation{.before = 0.5, .after = 0.25, .steps = 20};
  report.merge->layers.clear();
  report.merge->ladder.rungs.clear();
  EXPECT_EQ("\n" + text_of(report_sections(report, {"merge"})), R"(
Merge: reconstruct, 8192 calibration tokens, 2.5 s
  distilled: divergence of the predictions 0.5000 -> 0.2500 nats, 20 steps
)");
}

}  // namespace
}  // namespace qcqa
