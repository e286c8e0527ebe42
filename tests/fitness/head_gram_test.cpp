#include "qcqa/fitness/head_gram.hpp"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <limits>
#include <random>

#include "qcqa/checkpoint/float_codec.hpp"
#include "qcqa/plan/grouping.hpp"
#include "support/expect_error.hpp"
#include "support/gpu.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

std::vector<double> decoded(const HeadRows& head) {
  std::vector<double> values = values_of(head.weight);
  const std::vector<double> bias = values_of(head.bias);
  values.insert(values.end(), bias.begin(), bias.end());
  return values;
}

/// The definition: squared deviations from the group's mean, in long double.
double direct_wse(const std::vector<HeadRows>& heads, const Grouping& grouping) {
  long double error = 0;
  for (const auto& members : grouping.members()) {
    std::vector<std::vector<double>> rows;
    for (const std::uint8_t head : members) rows.push_back(decoded(heads[head]));
    for (std::size_t i = 0; i < rows.front().size(); ++i) {
      long double mean = 0;
      for (const auto& row : rows) mean += row[i];
      mean /= static_cast<long double>(rows.size());
      for (const auto& row : rows) error += (row[i] - mean) * (row[i] - mean);
    }
  }
  return static_cast<double>(error);
}

void expect_wse_is_direct(const Model& model, const Device& device = {}) {
  std::mt19937_64 random(7);
  for (const AttentionLayer& layer : model.layers()) {
    const PairwiseCost cost = wse_cost(compute_head_gram(layer, device));
    for (int trial = 0; trial < 4; ++trial) {
      std::vector<int> labels(static_cast<std::size_t>(layer.kv_heads));
      for (int& label : labels) label = static_cast<int>(random() % 3);
      const Grouping grouping = Grouping::from_labels(labels);
      const CostParts parts = grouping_cost_parts(cost, grouping);
      const double k = direct_wse(layer.key, grouping);
      const double v = direct_wse(layer.value, grouping);
      EXPECT_NEAR(parts.k, k, 1e-9 * k);
      EXPECT_NEAR(parts.v, v, 1e-9 * v);
      EXPECT_NEAR(grouping_cost(cost, grouping), k + v, 1e-9 * (k + v));
    }
  }
}

TEST(HeadGram, WseEqualsItsDefinitionForEveryType) {
  for (const Dtype dtype : {Dtype::f16, Dtype::bf16, Dtype::f32, Dtype::f64}) {
    for (const bool biases : {false, true}) {
      SCOPED_TRACE(std::string(dtype_name(dtype)) + (biases ? " with biases" : ""));
      const TemporaryFolder folder;
      // 7 heads and 5 x 77 elements leave remainders in every blocking of the kernel.
      write_pico_model(
          folder.path(),
          {.query_heads = 7, .kv_heads = 7, .head_dim = 5, .hidden_size = 77, .biases = biases, .dtype = dtype});
      expect_wse_is_direct(Model::open(folder.path()));
    }
  }
}

TEST(HeadGram, WseEqualsItsDefinitionWithFusedProjections) {
  for (const char* family : {"phi3", "gpt_neox"}) {
    const TemporaryFolder folder;
    write_pico_model(folder.path(), {.family = family, .biases = true});
    expect_wse_is_direct(Model::open(folder.path()));
  }
}

TEST(HeadGram, WseEqualsItsDefinitionOverManySegments) {
  const TemporaryFolder folder;
  write_pico_model(
      folder.path(),
      {.layers = 1, .query_heads = 5, .kv_heads = 5, .head_dim = 40, .hidden_size = 1001, .dtype = Dtype::bf16});
  expect_wse_is_direct(Model::open(folder.path()));
}

TEST(HeadGram, RealWeights) {
  const std::filesystem::path folder = std::filesystem::path(QCQA_SHARED_DIR) / "models/stories15M";
  if (!std::filesystem::exists(folder))
    GTEST_SKIP() << "no models/stories15M in QCQA_SHARED_DIR (" << QCQA_SHARED_DIR << ")";
  const Model model = Model::open(folder);
  expect_wse_is_direct(model);
  double contiguous = 0;
  for (const AttentionLayer& layer : model.layers()) {
    contiguous += grouping_cost(wse_cost(compute_head_gram(layer)), Grouping::contiguous(6, 3));
  }
  EXPECT_NEAR(contiguous, 504.47, 0.005);
}

TEST(HeadGram, SameBitsForAnyNumberOfThreads) {
  const TemporaryFolder folder;
  write_pico_model(folder.path(), {.layers = 1, .query_heads = 9, .kv_heads = 9, .head_dim = 64, .hidden_size = 1024});
  const Model model = Model::open(folder.path());
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const HeadGram one = compute_head_gram(model.layers()[0]);
  omp_set_num_threads(5);
  const HeadGram five = compute_head_gram(model.layers()[0]);
  omp_set_num_threads(threads);
  EXPECT_EQ(one.k, five.k);
  EXPECT_EQ(one.v, five.v);
}

TEST(HeadGram, IdenticalHeadsCostExactlyNothing) {
  const TemporaryFolder folder;
  const std::size_t head = 3 * 12;
  std::vector<double> first(head);
  write_pico_model(folder.path(), {.adjust = [&](const std::string& name, std::size_t i, double value) {
                     if (name.find("k_proj") == std::string::npos && name.find("v_proj") == std::string::npos)
                       return value;
                     if (i < head) first[i] = value;
                     return first[i % head];
                   }});
  const Model model = Model::open(folder.path());
  const PairwiseCost cost = wse_cost(compute_head_gram(model.layers()[1]));
  EXPECT_EQ(grouping_cost(cost, Grouping::contiguous(4, 1)), 0.0);
}

TEST(HeadGram, NotANumberNamesTheTensor) {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    const TemporaryFolder folder;
    write_pico_model(folder.path(), {.adjust = [bad](const std::string& name, std::size_t i, double value) {
                       return name == "model.layers.1.self_attn.v_proj.weight" && i == 2 * 36 + 5 ? bad : value;
                     }});
    const Model model = Model::open(folder.path());
    EXPECT_NO_THROW((void)compute_head_gram(model.layers()[0]));
    expect_error(ErrorKind::corrupt, "model.layers.1.self_attn.v_proj.weight: weights must be finite",
                 [&] { (void)compute_head_gram(model.layers()[1]); });
  }
}

TEST(HeadGram, CudaAgreesWithCpu) {
  if (gpu_count() == 0) GTEST_SKIP() << "no GPU that LibTorch can use";
  const TemporaryFolder folder;
  write_pico_model(
      folder.path(),
      {.query_heads = 8, .kv_heads = 8, .head_dim = 16, .hidden_size = 130, .biases = true, .dtype = Dtype::bf16});
  expect_wse_is_direct(Model::open(folder.path()), parse_device("cuda"));
}

}  // namespace
}  // namespace qcqa
