#include "forward/transformer.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <omp.h>

#include "support/blas.hpp"
#include "support/expect_error.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;
using Ids = std::vector<std::int32_t>;

at::Tensor logits_of(const Model& model, const std::vector<Ids>& sequences, const ForwardProgress& progress = {}) {
  Transformer transformer(model, Runtime{});
  transformer.load_head();
  const std::vector<std::span<const std::int32_t>> spans(sequences.begin(), sequences.end());
  return transformer.logits(transformer.run(spans, progress));
}

class TransformerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    write_pico_model(folder_.path(),
                     {.query_heads = 6, .kv_heads = 6, .head_dim = 4, .mlp_size = 10, .vocabulary = 20});
    model_.emplace(Model::open(folder_.path()));
  }

  TemporaryFolder folder_;
  std::optional<Model> model_;
};

TEST_F(TransformerTest, SequencesDoNotDependOnTheirNeighbours) {
  const std::vector<Ids> sequences = {{1, 2, 3, 4, 5}, {6}, {7, 8, 9}, {1, 2, 3, 4, 6}};
  std::vector<at::Tensor> alone;
  for (const Ids& sequence : sequences) alone.push_back(logits_of(*model_, {sequence}));
  EXPECT_TRUE(at::allclose(logits_of(*model_, sequences), at::cat(alone), 1e-5, 1e-5));
}

TEST_F(TransformerTest, TokensDoNotDependOnLaterOnes) {
  const at::Tensor whole = logits_of(*model_, {{1, 2, 3, 4, 5}});
  EXPECT_TRUE(at::allclose(logits_of(*model_, {{1, 2, 3}}), whole.narrow(0, 0, 3), 1e-5, 1e-5));
}

TEST_F(TransformerTest, EveryFamilyRunsSequenceBySequence) {
  const std::vector<Ids> sequences = {{1, 2, 3, 4, 5}, {6}, {1, 2, 3}};
  for (const Architecture& architecture : supported_architectures()) {
    if (!architecture.forward) continue;
    SCOPED_TRACE(architecture.family);
    const TemporaryFolder folder;
    write_pico_model(
        folder.path(),
        {.family = architecture.family, .head_dim = 8, .hidden_size = 32, .mlp_size = 10, .vocabulary = 20});
    const Model model = Model::open(folder.path());
    const at::Tensor all = logits_of(model, sequences);
    ASSERT_EQ(all.sizes(), at::IntArrayRef({9, 20}));
    EXPECT_TRUE(at::isfinite(all).all().item<bool>());
    EXPECT_TRUE(at::allclose(all.narrow(0, 6, 3), all.narrow(0, 0, 3), 1e-4, 1e-5)) << "later tokens count";
    EXPECT_TRUE(at::allclose(all.narrow(0, 5, 1), logits_of(model, {{6}}), 1e-4, 1e-5)) << "neighbours count";
    EXPECT_FALSE(at::allclose(all[0], all[1], 1e-2, 1e-2)) << "tokens do not count";
  }
}

TEST_F(TransformerTest, AnyNumberOfThreadsGivesTheSame) {
  std::vector<Ids> sequences;
  for (int i = 0; i < 60; ++i) sequences.emplace_back(40, i % 20);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const at::Tensor one = logits_of(*model_, sequences);
  omp_set_num_threads(3);
  const at::Tensor three = logits_of(*model_, sequences);
  omp_set_num_threads(threads);
  EXPECT_TRUE(rows_are_independent() ? at::equal(one, three) : at::allclose(one, three, 1e-5, 1e-6));
}

TEST_F(TransformerTest, RefusesTokensOutsideTheVocabulary) {
  expect_error(ErrorKind::invalid_argument, "token ids must be from 0 to 19; found 20", [&] {
    (void)logits_of(*model_, {{1, 20}});
  });
  expect_error(ErrorKind::invalid_argument, "found -1", [&] { (void)logits_of(*model_, {{-1}}); });
}

TEST_F(TransformerTest, StopsWhenAskedTo) {
  std::int64_t calls = 0;
  expect_error(ErrorKind::interrupted, "interrupted", [&] {
    (void)logits_of(*model_, {{1, 2}}, [&](std::int64_t) { return ++calls < 2; });
  });
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace qcqa
