#include "qcqa/evaluate/evaluate.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "support/expect_error.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;
using Ids = std::vector<std::int32_t>;

class Evaluate : public ::testing::Test {
 protected:
  void SetUp() override {
    write_pico_model(folder_ / "model",
                     {.query_heads = 4, .kv_heads = 4, .head_dim = 4, .mlp_size = 10, .vocabulary = 20});
    model_.emplace(Model::open(folder_ / "model"));
  }

  [[nodiscard]] Evaluation run(const std::vector<TokenSequence>& windows) const {
    return evaluate(*model_, nullptr, windows, {});
  }

  const Ids a_ = {1, 2, 3, 4, 5, 6}, b_ = {7, 8, 9};
  TemporaryFolder folder_;
  std::optional<Model> model_;
};

TEST_F(Evaluate, TokensBeforeTheFirstTargetAreContextOnly) {
  const Evaluation all = run({{a_, 1, 0}});
  const Evaluation first = run({{std::span(a_).first(4), 1, 0}});
  const Evaluation rest = run({{a_, 4, 0}});
  EXPECT_EQ(all.tokens, 5);
  EXPECT_EQ(first.tokens, 3);
  EXPECT_EQ(rest.tokens, 2);
  EXPECT_NEAR(first.cross_entropy * 3 + rest.cross_entropy * 2, all.cross_entropy * 5, 1e-5);
}

TEST_F(Evaluate, OrderOfWindowsDoesNotMatter) {
  const Evaluation one = run({{a_, 1, 0}, {b_, 1, 1}});
  const Evaluation other = run({{b_, 1, 0}, {a_, 1, 1}});
  EXPECT_EQ(one.documents, 2);
  EXPECT_NEAR(one.cross_entropy, other.cross_entropy, 1e-6);
  EXPECT_NEAR(one.standard_error, other.standard_error, 1e-6);
}

TEST_F(Evaluate, ModelDoesNotDifferFromItself) {
  const Evaluation evaluation = evaluate(*model_, &*model_, std::vector<TokenSequence>{{a_, 1, 0}, {b_, 1, 1}}, {});
  ASSERT_TRUE(evaluation.reference);
  EXPECT_EQ(evaluation.perplexity_increase(), 0);
  EXPECT_EQ(evaluation.reference->kl_mean, 0);
  EXPECT_EQ(evaluation.reference->top1_agreement, 1);
  EXPECT_EQ(evaluation.reference->difference_error, 0);
  EXPECT_EQ(evaluation.kv_bytes_per_token, model_->kv_bytes_per_token());
}

TEST_F(Evaluate, CacheOfTheModelIsRoundedAndThatOfTheReferenceIsNot) {
  write_pico_model(folder_ / "wide",
                   {.query_heads = 2, .kv_heads = 1, .head_dim = 32, .mlp_size = 10, .vocabulary = 20});
  const Model wide = Model::open(folder_ / "wide");
  const std::vector<TokenSequence> windows = {{a_, 1, 0}, {b_, 1, 1}};
  const Evaluation plain = evaluate(wide, &wide, windows, {});
  EXPECT_FALSE(plain.kv_cache);
  double last = 0;
  for (const KvCacheType type : {KvCacheType::f16, KvCacheType::q8_0, KvCacheType::q4_0}) {  // ever fewer bits
    const Evaluation rounded = evaluate(wide, &wide, windows, {.kv_cache = type});
    EXPECT_EQ(rounded.reference->cross_entropy, plain.cross_entropy);
    EXPECT_GT(rounded.reference->kl_mean, last);
    last = rounded.reference->kl_mean;
    ASSERT_TRUE(rounded.kv_cache);
    EXPECT_EQ(rounded.kv_cache->type, type);
    EXPECT_EQ(rounded.kv_cache->bytes_per_token, kv_bytes_per_token(wide, type));
    EXPECT_EQ(rounded.kv_cache->reference_bytes_per_token, kv_bytes_per_token(wide, type));
    EXPECT_EQ(rounded.reference->kv_bytes_per_token, wide.kv_bytes_per_token());
  }
}

/// The model with other values in the tensors whose names end like this.
Model spoiled(const TemporaryFolder& folder, std::string_view end, double value) {
  std::filesystem::remove_all(folder / "spoiled");
  write_pico_model(folder / "spoiled", {.query_heads = 4,
                                        .kv_heads = 4,
                                        .head_dim = 4,
                                        .mlp_size = 10,
                                        .vocabulary = 20,
                                        .adjust = [&](const std::string& name, std::size_t i, double own) {
                                          return name.ends_with(end) && i % 7 == 3 ? value : own;
                                        }});
  return Model::open(folder / "spoiled");
}

TEST_F(Evaluate, RefusesWeightsThatAreNotNumbers) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const char* name : {"model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight",
                           "model.layers.0.input_layernorm.weight", "lm_head.weight"}) {
    const Model other = spoiled(folder_, name, nan);
    const std::string why = std::string(name) + ": weights must be finite; found not a number";
    const std::vector<TokenSequence> windows{{a_, 1, 0}};
    expect_error(ErrorKind::corrupt, why, [&] { (void)evaluate(other, nullptr, windows, {}); });
    expect_error(ErrorKind::corrupt, why, [&] { (void)evaluate(*model_, &other, windows, {}); });
  }
}

TEST_F(Evaluate, NamesTheLayerThatOverflows) {
  const Model other = spoiled(folder_, "layers.1.mlp.up_proj.weight", 3e38);
  expect_error(ErrorKind::unsupported, "layer 1: what a layer computes must be finite", [&] {
    (void)evaluate(other, nullptr, std::vector<TokenSequence>{{a_, 1, 0}}, {});
  });
}

TEST_F(Evaluate, ProgressReachesItsTotal) {
  std::int64_t last = 0;
  std::int64_t total = -1;
  (void)evaluate(*model_, nullptr, std::vector<TokenSequence>{{a_, 1, 0}, {b_, 1, 1}}, {},
                 [&](const ProgressEvent& event) {
                   EXPECT_GE(event.done, last);
                   last = event.done;
                   total = event.total;
                   return true;
                 });
  EXPECT_EQ(last, total);
}

TEST_F(Evaluate, RefusesWhatCannotBeScored) {
  expect_error(ErrorKind::invalid_argument, "at least one document of two tokens", [&] { (void)run({}); });
  expect_error(ErrorKind::invalid_argument, "at least one document of two tokens", [&] {
    (void)run({{std::span(a_).first(1), 1, 0}});
  });
  const Ids outside = {1, 20};
  expect_error(ErrorKind::invalid_argument, "found 20", [&] { (void)run({{outside, 1, 0}}); });
  expect_error(ErrorKind::interrupted, "interrupted", [&] {
    (void)evaluate(*model_, nullptr, std::vector<TokenSequence>{{a_, 1, 0}}, {},
                   [](const ProgressEvent&) { return false; });
  });
}

TEST_F(Evaluate, RefusesAReferenceWithOtherTokens) {
  write_pico_model(folder_ / "other",
                   {.query_heads = 4, .kv_heads = 4, .head_dim = 4, .mlp_size = 10, .vocabulary = 21});
  const Model other = Model::open(folder_ / "other");
  expect_error(ErrorKind::invalid_argument, "the model's vocabulary, 20 tokens; found 21", [&] {
    (void)evaluate(*model_, &other, std::vector<TokenSequence>{{a_, 1, 0}}, {});
  });
}

}  // namespace
}  // namespace qcqa
