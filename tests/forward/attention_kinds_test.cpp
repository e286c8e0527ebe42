#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "forward/transformer.hpp"
#include "support/edited_model.hpp"
#include "support/expect_error.hpp"
#include "support/made_up_family.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;
using Change = std::function<void(nlohmann::json&)>;
using Ids = std::vector<std::int32_t>;

constexpr std::int64_t kLength = 6, kQueryHeads = 4, kKvHeads = 2, kDim = 6;

/// A model of the made-up family, its first layer and what its attention reads.
struct KindOfAttention {
  explicit KindOfAttention(const Change& change, int layers = 2) : families(with_made_up(change)) {
    write_pico_model(folder.path(), {.family = "made_up",
                                     .layers = layers,
                                     .query_heads = kQueryHeads,
                                     .kv_heads = kKvHeads,
                                     .head_dim = kDim,
                                     .mlp_size = 8,
                                     .vocabulary = 20,
                                     .families = &families});
    model.emplace(Model::open(folder.path(), families));
  }

  /// The attention block of a layer by the code under test. @param normed  (kLength, 12)
  [[nodiscard]] at::Tensor attention(int layer, const at::Tensor& normed) const {
    const Transformer transformer(*model, Runtime{});
    const LayerWeights weights = transformer.load(layer);
    const RotaryTables tables(transformer.spec().rotary, kLength, Runtime{});
    const RotaryRows rows = tables.rows({0, 1, 2, 3, 4, 5}, std::vector<std::int64_t>(kLength, kLength));
    const Attend own = [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
      return attend(q, k, v, {{0, kLength, 0, kLength}}, transformer.attention_options(weights, layer));
    };
    return run_attention(weights, transformer.spec(), transformer.rotary_of(rows, layer), own, normed);
  }
  [[nodiscard]] at::Tensor tensor(const std::string& name) const {
    const TensorView& view = model->checkpoint().at("base.blocks.0.attn." + name + ".weight");
    return at::tensor(at::ArrayRef<double>(values_of(view)), at::kDouble).view(view.shape);
  }
  [[nodiscard]] at::Tensor logits(const Ids& ids) const {
    Transformer transformer(*model, Runtime{});
    transformer.load_head();
    const std::vector<std::span<const std::int32_t>> sequences = {ids};
    return transformer.logits(transformer.run(sequences));
  }

  Families families;
  TemporaryFolder folder;
  std::optional<Model> model;
};

/// The same block in float64 from its definition. `turn` is applied to queries and keys, (tokens, heads, head_dim).
at::Tensor by_definition(const KindOfAttention& made_up, const at::Tensor& normed,
                         const std::function<at::Tensor(const at::Tensor&, const char* norm)>& turn) {
  const at::Tensor x = normed.to(at::kDouble);
  const auto heads = [&](const char* name) { return at::mm(x, made_up.tensor(name).t()).view({kLength, -1, kDim}); };
  const at::Tensor q = turn(heads("q"), "qn");
  const at::Tensor k = turn(heads("k"), "kn");
  const at::Tensor v = heads("v");
  std::vector<at::Tensor> outputs;
  for (std::int64_t head = 0; head < kQueryHeads; ++head) {
    const std::int64_t shared = head / (kQueryHeads / kKvHeads);
    const at::Tensor scores = at::mm(q.select(1, head), k.select(1, shared).t()) / std::sqrt(double{kDim});
    const at::Tensor future = at::full({kLength, kLength}, -INFINITY, at::kDouble).triu(1);
    outputs.push_back(at::mm(at::softmax(scores + future, 1), v.select(1, shared)));
  }
  return at::mm(at::cat(outputs, 1), made_up.tensor("o").t());
}

at::Tensor rms(const at::Tensor& x) { return x / (x.square().mean(-1, true) + 1e-6).sqrt(); }

/// Planes of dimensions, turned by position * 100^(-2 i / head_dim).
at::Tensor turned_planes(const at::Tensor& heads, bool neighbours) {
  at::Tensor out = heads.clone();
  for (std::int64_t plane = 0; plane < kDim / 2; ++plane) {
    const std::int64_t i = neighbours ? 2 * plane : plane;
    const std::int64_t j = neighbours ? i + 1 : plane + kDim / 2;
    for (std::int64_t token = 0; token < kLength; ++token) {
      const double angle = static_cast<double>(token) * std::pow(100.0, -2.0 * static_cast<double>(plane) / kDim);
      out[token].select(1, i) =
          heads[token].select(1, i) * std::cos(angle) - heads[token].select(1, j) * std::sin(angle);
      out[token].select(1, j) =
          heads[token].select(1, j) * std::cos(angle) + heads[token].select(1, i) * std::sin(angle);
    }
  }
  return out;
}

void expect_as_defined(const Change& change,
                       const std::function<at::Tensor(const KindOfAttention&, const at::Tensor&, const char*)>& turn) {
  const KindOfAttention made_up(change);
  at::manual_seed(5);
  const at::Tensor normed = at::randn({kLength, 12});
  const at::Tensor wanted = by_definition(
      made_up, normed, [&](const at::Tensor& heads, const char* norm) { return turn(made_up, heads, norm); });
  EXPECT_LT((made_up.attention(0, normed).to(at::kDouble) - wanted).abs().max().item<double>(), 1e-4);
}

Change with_norm(const char* scope, bool after_rotary = false) {
  return [=](nlohmann::json& family) {
    family["attention"]["head_norm"] = {
        {"query", "qn"}, {"key", "kn"}, {"scope", scope}, {"after_rotary", after_rotary}};
  };
}

TEST(AttentionKinds, RotaryPlanesMayBeNeighbours) {
  expect_as_defined(
      [](nlohmann::json& family) { family["attention"]["rotary"]["neighbours"] = true; },
      [](const KindOfAttention&, const at::Tensor& heads, const char*) { return turned_planes(heads, true); });
}

TEST(AttentionKinds, WithoutRotaryNothingIsTurned) {
  expect_as_defined([](nlohmann::json& family) { family["attention"]["rotary"] = nullptr; },
                    [](const KindOfAttention&, const at::Tensor& heads, const char*) { return heads; });
}

TEST(AttentionKinds, NormsOfHeadsHaveOneVectorOfWeights) {
  expect_as_defined(with_norm("head"), [](const KindOfAttention& made_up, const at::Tensor& heads, const char* norm) {
    return turned_planes(rms(heads) * made_up.tensor(norm), false);
  });
  expect_as_defined(with_norm("head", true),
                    [](const KindOfAttention& made_up, const at::Tensor& heads, const char* norm) {
                      return rms(turned_planes(heads, false)) * made_up.tensor(norm);
                    });
}

TEST(AttentionKinds, NormsOfHeadsMayHaveWeightsOfTheirOwn) {
  expect_as_defined(with_norm("own"), [](const KindOfAttention& made_up, const at::Tensor& heads, const char* norm) {
    return turned_planes(rms(heads) * made_up.tensor(norm), false);
  });
}

TEST(AttentionKinds, NormsMayBeTakenOverTheWholeProjection) {
  expect_as_defined(with_norm("projection"),
                    [](const KindOfAttention& made_up, const at::Tensor& heads, const char* norm) {
                      return turned_planes((rms(heads.flatten(1)) * made_up.tensor(norm)).view(heads.sizes()), false);
                    });
}

TEST(AttentionKinds, LayersMayDifferInTheirRotaryEmbedding) {
  const KindOfAttention mixed([](nlohmann::json& family) {
    family["attention"]["rotary"].update({{"layers", "listed"}, {"list", "rotated"}, {"period", 2}});
  });
  const KindOfAttention none([](nlohmann::json& family) { family["attention"]["rotary"] = nullptr; });
  const KindOfAttention all([](nlohmann::json&) {});
  const at::Tensor normed = at::randn({kLength, 12});
  EXPECT_TRUE(at::equal(mixed.attention(0, normed), all.attention(0, normed)));
  EXPECT_TRUE(at::equal(mixed.attention(1, normed), none.attention(1, normed)));
  EXPECT_FALSE(at::allclose(all.attention(1, normed), none.attention(1, normed), 1e-3, 1e-3));
}

void post_norms_only(nlohmann::json& family) {
  family["attention"]["input_norm"] = nullptr;
  family["forward"]["layer"] = {{"attention_post_norm", "norm_1"}, {"mlp_post_norm", "norm_2"}};
}

TEST(AttentionKinds, BlocksMayReadTheStreamItself) {
  const KindOfAttention made_up(post_norms_only);
  const Transformer transformer(*made_up.model, Runtime{});
  const LayerWeights weights = transformer.load(0);
  const at::Tensor hidden = at::randn({1, 12});
  const Attend own_value = [](const at::Tensor&, const at::Tensor&, const at::Tensor& v) {
    return v.view({1, kKvHeads, 1, kDim}).expand({1, kKvHeads, kQueryHeads / kKvHeads, kDim}).reshape({1, -1});
  };
  const at::Tensor attention = run_attention(weights, transformer.spec(), {}, own_value, hidden);
  const at::Tensor between = hidden + apply_norm(attention, weights.attention_post_norm, transformer.spec());
  const at::Tensor wanted =
      between + apply_norm(weights.mlp.down(mlp_features(weights.mlp, transformer.spec(), between)),
                           weights.mlp_post_norm, transformer.spec());
  EXPECT_TRUE(at::allclose(run_layer(weights, transformer.spec(), {}, own_value, hidden), wanted, 1e-5, 1e-5));
}

void learned_positions(nlohmann::json& family) {
  family["attention"]["rotary"] = nullptr;
  family["forward"]["embedding"]["positions"] = {{"tensor", "base.places"}, {"offset", 2}};
}

TEST(LearnedPositions, AreAddedToTheEmbedding) {
  const KindOfAttention made_up(learned_positions);
  EXPECT_EQ(made_up.model->checkpoint().at("base.places.weight").shape, (std::vector<std::int64_t>{34, 12}));
  const Transformer transformer(*made_up.model, Runtime{});
  const auto row = [&](const char* name, std::size_t index) {
    const auto all = values_of(made_up.model->checkpoint().at(name));
    return std::vector<double>(all.begin() + static_cast<std::ptrdiff_t>(index * 12),
                               all.begin() + static_cast<std::ptrdiff_t>(index * 12 + 12));
  };
  const at::Tensor embedded = transformer.embed(Ids{7, 7}, std::vector<std::int64_t>{0, 3});
  const auto word = row("base.words.weight", 7), first = row("base.places.weight", 2),
             fourth = row("base.places.weight", 5);
  for (std::size_t i = 0; i < 12; ++i) {
    const auto column = static_cast<std::int64_t>(i);
    EXPECT_NEAR(embedded[0][column].item<double>(), word[i] + first[i], 1e-6);
    EXPECT_NEAR(embedded[1][column].item<double>(), word[i] + fourth[i], 1e-6);
  }
}

TEST(LearnedPositions, TellOrdersApart) {
  const auto difference = [](const Change& change) {
    const KindOfAttention made_up(change, 1);  // of two layers, the second could tell what the first saw
    return (made_up.logits({1, 2, 3})[2] - made_up.logits({2, 1, 3})[2]).abs().max().item<double>();
  };
  EXPECT_GT(difference(learned_positions), 0.01);
  EXPECT_LT(difference([](nlohmann::json& family) { family["attention"]["rotary"] = nullptr; }), 1e-5);
}

TEST(LearnedPositions, NoSequenceIsLongerThanTheyAre) {
  const KindOfAttention made_up(learned_positions);
  EXPECT_NO_THROW((void)made_up.logits(Ids(32, 1)));
  expect_error(ErrorKind::unsupported, "at most the 32 tokens that the model has positions for; found 33",
               [&] { (void)made_up.logits(Ids(33, 1)); });
}

}  // namespace
}  // namespace qcqa
