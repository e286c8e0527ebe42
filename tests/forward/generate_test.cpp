#include "qcqa/forward/generate.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "forward/transformer.hpp"
#include "support/expect_error.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;
using Ids = std::vector<std::int32_t>;

class Generate : public ::testing::Test {
 protected:
  void SetUp() override {
    write_pico_model(folder_.path(),
                     {.query_heads = 4, .kv_heads = 2, .head_dim = 4, .mlp_size = 10, .vocabulary = 30});
    model_.emplace(Model::open(folder_.path()));
  }

  TemporaryFolder folder_;
  std::optional<Model> model_;
};

void expect_what_whole_sequences_give(const Model& model) {
  const std::vector<Ids> prompts = {{1, 2, 3}, {4}, {5, 6, 7, 8, 9}};
  const Generation generation = generate(model, prompts, {.max_tokens = 12});
  Transformer transformer(model, Runtime{});
  transformer.load_head();
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    Ids sequence = prompts[i];
    for (int step = 0; step < 12; ++step) {
      const std::vector<std::span<const std::int32_t>> one = {sequence};
      const at::Tensor logits = transformer.logits(transformer.run(one));
      sequence.push_back(static_cast<std::int32_t>(logits[-1].argmax().item<std::int64_t>()));
    }
    EXPECT_EQ(generation.tokens[i], Ids(sequence.end() - 12, sequence.end())) << "prompt " << i;
  }
}

TEST_F(Generate, CacheGivesWhatTheWholeSequenceGives) { expect_what_whole_sequences_give(*model_); }

TEST(GenerateWithLayersWithoutHeads, TheyRememberEverySequence) {
  for (const char* family : {"lfm2", "qwen3_5_text"}) {
    const TemporaryFolder folder;
    write_pico_model(folder.path(), {.family = family,
                                     .layers = 5,
                                     .query_heads = 4,
                                     .kv_heads = 2,
                                     .head_dim = 8,
                                     .hidden_size = 32,
                                     .mlp_size = 10,
                                     .vocabulary = 30,
                                     .alternates = true});
    const Model model = Model::open(folder.path());
    EXPECT_EQ(model.places(), (std::vector{1, 3}));
    expect_what_whole_sequences_give(model);
  }
}

TEST_F(Generate, CacheHoldsKvHeadsOnly) {
  const std::vector<Ids> prompts = {{1, 2, 3}, {4}};
  const Generation all = generate(*model_, prompts, {.max_tokens = 5});
  EXPECT_EQ(all.kv_cache_positions, 2 * 8);
  EXPECT_EQ(all.kv_cache_bytes, 16 * model_->kv_bytes_per_token());
}

TEST_F(Generate, SeedDecidesAlone) {
  const std::vector<Ids> prompts = {{1, 2, 3}};
  const std::vector<Ids> more = {{1, 2, 3}, {4, 5}};
  const GenerateOptions options{.max_tokens = 20, .temperature = 1.5, .seed = 3};
  const Generation first = generate(*model_, prompts, options);
  EXPECT_EQ(generate(*model_, prompts, options).tokens[0], first.tokens[0]);
  EXPECT_EQ(generate(*model_, more, options).tokens[0], first.tokens[0]);
  GenerateOptions other = options;
  other.seed = 4;
  EXPECT_NE(generate(*model_, prompts, other).tokens[0], first.tokens[0]);
}

TEST_F(Generate, StopsAfterAStopToken) {
  const std::vector<Ids> prompts = {{1, 2, 3}};
  const Ids free = generate(*model_, prompts, {.max_tokens = 8}).tokens[0];
  const Ids stopped = generate(*model_, prompts, {.max_tokens = 8, .stop = {free[2]}}).tokens[0];
  const auto end = std::ranges::find(free, free[2]) + 1;
  EXPECT_EQ(stopped, Ids(free.begin(), end));
}

TEST_F(Generate, RefusesNothingToContinue) {
  const std::vector<Ids> empty = {{}};
  expect_error(ErrorKind::invalid_argument, "at least one token", [&] { (void)generate(*model_, empty, {}); });
  const std::vector<Ids> prompts = {{1}};
  expect_error(ErrorKind::invalid_argument, "at least 1", [&] { (void)generate(*model_, prompts, {.max_tokens = 0}); });
  expect_error(ErrorKind::interrupted, "", [&] { (void)generate(*model_, prompts, {}, [](int) { return false; }); });
}

}  // namespace
}  // namespace qcqa
