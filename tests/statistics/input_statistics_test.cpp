#include "qcqa/statistics/input_statistics.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <optional>

#include "statistics/layer_statistics.hpp"
#include "statistics/second_moment.hpp"
#include "support/expect_error.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

class InputStatisticsOfAText : public ::testing::Test {
 protected:
  static constexpr std::int64_t kHidden = 12;

  void SetUp() override {
    write_pico_model(folder_ / "model", {.layers = 3, .head_dim = 4, .hidden_size = kHidden, .mlp_size = 8});
    model_.emplace(Model::open(folder_ / "model"));
    text_ = TokenSequences({{0, 3, 1, 4, 2}, {2, 2, 0, 1}});
  }

  [[nodiscard]] InputStatistics statistics(const std::filesystem::path& folder = {}, ProgressFn progress = {}) const {
    return {*model_, text_.all(), {}, folder, 1 << 20, std::move(progress)};
  }

  TemporaryFolder folder_;
  std::optional<Model> model_;
  TokenSequences text_;
};

TEST_F(InputStatisticsOfAText, AreThoseOfEachLayersInputInAnyOrder) {
  const Transformer transformer(*model_, Runtime{});
  const LayerRunner runner(transformer, text_.all());
  const at::Tensor hidden = at::empty({9, kHidden});
  runner.embed(hidden);
  std::vector<at::Tensor> moments;
  std::vector<double> squares;
  for (int layer = 0; layer < 3; ++layer) {
    const LayerWeights weights = transformer.load(layer);
    moments.push_back(second_moment(runner, hidden, weights, kHidden));
    BatchProgress meter([](std::int64_t) { return true; });
    runner.advance(weights, layer, hidden, meter);
    squares.push_back(1 / hidden.square().sum(1).to(at::kDouble).reciprocal().mean().item<double>());
  }
  InputStatistics found = statistics();
  EXPECT_TRUE(found.calibrated());
  for (const int layer : {0, 2, 1, 1, 0}) {
    const auto index = static_cast<std::size_t>(layer);
    EXPECT_TRUE(at::equal(found.layers().second_moment(layer, kHidden), moments[index])) << layer;
    EXPECT_EQ(found.layers().residual_square(layer, kHidden), squares[index]) << layer;
  }
}

// Else layers behind a massive activation (arXiv 2402.17762) would look hundreds of times cheaper than they are.
TEST_F(InputStatisticsOfAText, AMassiveTokenDoesNotHideWhatOthersLose) {
  static constexpr double kMassive = 1000;
  write_pico_model(folder_ / "massive", {.layers = 3,
                                         .head_dim = 4,
                                         .hidden_size = kHidden,
                                         .mlp_size = 8,
                                         .adjust = [](const std::string& name, std::size_t i, double own) {
                                           const bool first = name == "model.embed_tokens.weight" && i < kHidden;
                                           return first ? kMassive * own : own;
                                         }});
  const Model massive = Model::open(folder_ / "massive");
  const TokenSequences text({{3, 1, 4, 2, 1, 3, 2, 0}});
  InputStatistics with(massive, text.all(), {}, {}, 1 << 20, {});
  InputStatistics without(*model_, text.all(), {}, {}, 1 << 20, {});
  for (int layer = 0; layer < 3; ++layer) {
    const double ratio =
        with.layers().residual_square(layer, kHidden) / without.layers().residual_square(layer, kHidden);
    EXPECT_GT(ratio, 1) << layer;
    EXPECT_LT(ratio, 1.5) << layer;
  }
}

TEST_F(InputStatisticsOfAText, AreComputedOnceWhereTheyAreKept) {
  InputStatistics first = statistics(folder_ / "kept");
  const at::Tensor moment = first.layers().second_moment(1, kHidden);
  const ProgressFn never = [](const ProgressEvent&) {
    ADD_FAILURE() << "the text goes through the model again";
    return true;
  };
  InputStatistics second = statistics(folder_ / "kept", never);
  EXPECT_TRUE(at::equal(second.layers().second_moment(1, kHidden), moment));
  EXPECT_EQ(second.layers().residual_square(1, kHidden), first.layers().residual_square(1, kHidden));
}

TEST_F(InputStatisticsOfAText, GoOnAfterAnInterruption) {
  bool go_on = true;
  InputStatistics stopped = statistics({}, [&](const ProgressEvent& progress) { return go_on || progress.done < 12; });
  const at::Tensor moment = stopped.layers().second_moment(2, kHidden);
  go_on = false;
  expect_error(ErrorKind::interrupted, "", [&] { (void)stopped.layers().second_moment(1, kHidden); });
  go_on = true;
  EXPECT_TRUE(at::equal(stopped.layers().second_moment(2, kHidden), moment));
}

TEST_F(InputStatisticsOfAText, OfAnotherModelAreRefused) {
  (void)statistics(folder_ / "kept").layers().second_moment(0, kHidden);
  write_pico_model(folder_ / "other", {.layers = 3, .head_dim = 4, .hidden_size = 16, .mlp_size = 8});
  const Model other = Model::open(folder_ / "other");
  InputStatistics kept(other, text_.all(), {}, folder_ / "kept");
  expect_error(ErrorKind::corrupt, "must be of this model", [&] { (void)kept.layers().second_moment(0, 16); });
}

TEST_F(InputStatisticsOfAText, WithoutOneAllDirectionsCountAlike) {
  InputStatistics none(*model_);
  EXPECT_FALSE(none.calibrated());
  EXPECT_TRUE(at::equal(none.layers().second_moment(1, kHidden), isotropic_moment(*model_, 1, kHidden)));
  EXPECT_EQ(none.layers().residual_square(1, kHidden), 1);
}

}  // namespace
}  // namespace qcqa
