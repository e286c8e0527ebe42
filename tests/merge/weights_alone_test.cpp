#include <gtest/gtest.h>

#include <cmath>

#include "qcqa/fitness/sharing_costs.hpp"
#include "qcqa/merge/merge.hpp"
#include "support/expect_error.hpp"
#include "support/made_up_family.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

constexpr std::size_t kRowsOfHead = 6, kWidth = 12;

/// (head_dim, head_dim), row-major.
using Basis = std::vector<double>;

Basis any_basis() {
  Basis basis(kRowsOfHead * kRowsOfHead);
  for (std::size_t i = 0; i < basis.size(); ++i) basis[i] = std::sin(1.7 * static_cast<double>(i * i) + 0.4);
  return basis;
}

/// A complex number for each rotary plane (i, i + head_dim / 2).
Basis plane_basis() {
  Basis basis(kRowsOfHead * kRowsOfHead, 0.0);
  static constexpr std::size_t kPlanes = kRowsOfHead / 2;
  for (std::size_t i = 0; i < kPlanes; ++i) {
    const double length = 0.6 + 0.3 * static_cast<double>(i), angle = 1 + static_cast<double>(i);
    basis[i * kRowsOfHead + i] = basis[(i + kPlanes) * kRowsOfHead + i + kPlanes] = length * std::cos(angle);
    basis[i * kRowsOfHead + i + kPlanes] = -length * std::sin(angle);
    basis[(i + kPlanes) * kRowsOfHead + i] = length * std::sin(angle);
  }
  return basis;
}

/// Makes every other KV head the first one in another basis: keys by `keys` of the tensor's name, values by any.
auto heads_like_the_first(std::function<Basis(const std::string&)> keys) {
  return [keys = std::move(keys), first = std::vector<double>()](const std::string& name, std::size_t index,
                                                                 double value) mutable {
    const bool key = name.ends_with("k_proj.weight") || name.ends_with(".k.weight");
    if (!key && !name.ends_with("v_proj.weight") && !name.ends_with(".v.weight")) return value;
    if (index == 0) first.clear();
    const std::size_t row = index / kWidth, column = index % kWidth;
    if (row < kRowsOfHead) {
      first.push_back(value);
      return value;
    }
    const Basis basis = key ? keys(name) : any_basis();
    double sum = 0;
    for (std::size_t i = 0; i < kRowsOfHead; ++i)
      sum += basis[row % kRowsOfHead * kRowsOfHead + i] * first[i * kWidth + column];
    return sum;
  };
}

Plan one_head(const Model& model) {
  return Plan::of(std::vector(model.layers().size(), Grouping::contiguous(model.layers().front().kv_heads, 1)));
}

double largest_difference(const Model& a, const Model& b, std::size_t layer) {
  const auto x = attention_output(a.layers()[layer], 7, 3), y = attention_output(b.layers()[layer], 7, 3);
  double largest = 0;
  for (std::size_t i = 0; i < x.size(); ++i) largest = std::max(largest, std::abs(x[i] - y[i]));
  return largest;
}

PicoModel not_run() {
  PicoModel pico{.family = "made_up", .query_heads = 4, .kv_heads = 2, .head_dim = kRowsOfHead, .hidden_size = kWidth};
  pico.dtype = Dtype::f64;
  pico.families = &with_family_not_run();
  return pico;
}

TEST(WeightsAlone, AFamilyThatCannotBeRunIsMergedByItsWeights) {
  const TemporaryFolder folder;
  PicoModel pico = not_run();
  pico.adjust = heads_like_the_first([](const std::string&) { return plane_basis(); });
  write_pico_model(folder / "in", pico);
  const Model model = Model::open(folder / "in", with_family_not_run());
  const Model merged = merge_model(model, one_head(model), {}, {.kind = MergeKind::subspace}, folder / "scratch").model;
  const Model mean = merge_model(model, one_head(model), {}, {.kind = MergeKind::mean}, folder / "mean").model;
  for (const std::size_t layer : {0U, 1U}) {
    EXPECT_LT(largest_difference(merged, model, layer), 1e-8);
    EXPECT_GT(largest_difference(mean, model, layer), 1e-2);
    EXPECT_EQ(values_of(merged.layers()[layer].key[0].weight), values_of(merged.layers()[layer].key[1].weight));
  }
  for (const MergeKind kind : {MergeKind::aligned, MergeKind::subspace}) {
    InputStatistics statistics(model);
    const auto costs = sharing_costs(model, kind, statistics);
    ASSERT_EQ(costs.size(), 2U);
    const double lost = grouping_cost(*costs[0], Grouping::contiguous(2, 1));
    EXPECT_EQ(lost < 1e-12, kind == MergeKind::subspace) << lost;
  }
}

TEST(WeightsAlone, TheNormBeforeTheAttentionCounts) {
  const TemporaryFolder folder;
  const auto cost = [&](double factor) {
    PicoModel pico = not_run();
    pico.adjust = [factor](const std::string& name, std::size_t, double value) {
      return name.ends_with("norm_1.weight") ? factor * value : value;
    };
    const auto in = folder / std::to_string(factor);
    write_pico_model(in, pico);
    const Model model = Model::open(in, with_family_not_run());
    InputStatistics statistics(model);
    const auto costs = sharing_costs(model, MergeKind::subspace, statistics);
    return grouping_cost(*costs[0], Grouping::contiguous(2, 1));
  };
  EXPECT_NEAR(cost(2) / cost(1), 4, 1e-9);
}

TEST(WeightsAlone, CalibrationNeedsTheForwardPass) {
  const TemporaryFolder folder;
  write_pico_model(folder / "in", not_run());
  const Model model = Model::open(folder / "in", with_family_not_run());
  const std::vector<std::int32_t> ids = {1, 2, 3};
  const std::vector<TokenSequence> text = {{.ids = ids, .first_target = 1, .document = 0}};
  expect_error(ErrorKind::unsupported, "made_up models can be converted but not run", [&] {
    (void)merge_model(model, one_head(model), text, {.kind = MergeKind::subspace}, folder / "scratch");
  });
  expect_error(ErrorKind::unsupported, "made_up models can be converted but not run", [&] {
    InputStatistics statistics(model, text, {});
    (void)sharing_costs(model, MergeKind::subspace, statistics);
  });
}

/// Only the second of the two layers is without a rotary embedding.
TEST(WeightsAlone, KeysAreFreeWhereNothingIsRotated) {
  const Families families = with_made_up([](nlohmann::json& family) {
    family["attention"]["rotary"].update({{"layers", "listed"}, {"list", "rotated"}, {"period", 2}});
  });
  const TemporaryFolder folder;
  PicoModel pico = not_run();
  pico.mlp_size = 8;
  pico.families = &families;
  const auto lost = [&](const std::string& name, const std::function<Basis(const std::string&)>& keys) {
    pico.adjust = heads_like_the_first(keys);
    write_pico_model(folder / name, pico);
    const Model model = Model::open(folder / name, families);
    const Model merged =
        merge_model(model, one_head(model), {}, {.kind = MergeKind::subspace}, folder / (name + "-scratch")).model;
    return std::pair(largest_difference(merged, model, 0), largest_difference(merged, model, 1));
  };
  const auto [rotated, free] = lost("any", [](const std::string&) { return any_basis(); });
  EXPECT_GT(rotated, 1e-3) << "a rotary embedding does not commute with any basis";
  EXPECT_LT(free, 1e-8);
  EXPECT_LT(lost("planes", [](const std::string&) { return plane_basis(); }).first, 1e-8);
}

}  // namespace
}  // namespace qcqa
