#include "merge/refit.hpp"

#include <ATen/ATen.h>
#include <omp.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>

#include "forward/for_each_batch.hpp"
#include "statistics/activations.hpp"
#include "statistics/second_moment.hpp"

namespace qcqa {
namespace {

/// Strengths of the ridge, as shares of the features' mean square: where the search begins, its steps and its ends.
constexpr double kRidge = 1e-2, kRidgeStep = 10, kLeastRidge = 1e-5, kMostRidge = 10;

/// A gain per token that is rounding, as a share of its stream's square.
constexpr double kNothing = 1e-10;

/// What a linear map sees of some tokens, and what it should give; one row per token.
struct Rows {
  at::Tensor features, missing;  ///< missing: what the map as it is does not give
  at::Tensor weight;             ///< (rows, 1)
};
using RowsOf = std::function<Rows(const SequenceBatch&)>;

/// Sums over tokens, weighted: x x^T of the features, x y^T of them and what is missing.
struct NormalEquations {
  at::Tensor square, product;

  /// How much smaller the sum of squares becomes with this change of the map.
  [[nodiscard]] double gain(const at::Tensor& change) const {
    return (change * (2 * product - at::mm(square, change))).sum().item<double>();
  }
};

NormalEquations sum_over(const LayerRunner& runner, std::span<const std::size_t> batches, const Linear& map,
                         const RowsOf& rows_of) {
  const auto options = map.weight.options().dtype(at::kDouble);
  NormalEquations sum{.square = at::zeros({map.inputs(), map.inputs()}, options),
                      .product = at::zeros({map.inputs(), map.outputs()}, options)};
  // In rounds, so that only a few batches' products are there at once; added in order, whatever thread was first.
  static constexpr std::size_t kMostAtOnce = 8;
  std::array<NormalEquations, kMostAtOnce> parts;
  const std::size_t at_once = std::min(kMostAtOnce, static_cast<std::size_t>(omp_get_max_threads()));
  for (std::size_t begin = 0; begin < batches.size(); begin += at_once) {
    const std::size_t round = std::min(at_once, batches.size() - begin);
    for_each_batch(runner.transformer().runtime(), round, [&](std::size_t i) {
      const Rows rows = rows_of(runner.batches()[batches[begin + i]]);
      const at::Tensor weighted = (rows.features * rows.weight).t();
      parts[i] = {.square = at::mm(weighted, rows.features), .product = at::mm(weighted, rows.missing)};
    });
    for (std::size_t i = 0; i < round; ++i) {
      sum.square += parts[i].square;
      sum.product += parts[i].product;
      parts[i] = {};
    }
  }
  return sum;
}

void refit(const LayerRunner& runner, const LayerTask& task, Linear& map, const RowsOf& rows_of) {
  std::size_t count = 0;
  for (std::int64_t tokens = 0; count < task.fitted.size() && tokens < kMomentTokensPerColumn * map.inputs(); ++count) {
    tokens += runner.batches()[task.fitted[count]].rows;
  }
  const NormalEquations fitted = sum_over(runner, std::span(task.fitted).first(count), map, rows_of);
  const NormalEquations held_back = sum_over(runner, task.held_back, map, rows_of);
  const at::Tensor scale = fitted.square.diagonal().mean();
  at::Tensor best;
  std::int64_t judged = 0;
  for (const std::size_t index : task.held_back) judged += runner.batches()[index].rows;
  double most = kNothing * static_cast<double>(judged);
  // Whether this strength is the best so far. What is gained rises with the strength, then falls.
  const auto is_better = [&](double ridge) {
    at::Tensor square = fitted.square.clone();
    square.diagonal().add_(ridge * scale);
    const auto [factor, failed] = at::linalg_cholesky_ex(square);
    if (failed.item<int>() != 0) return false;
    const at::Tensor change = at::cholesky_solve(fitted.product, factor);
    const double gain = held_back.gain(change);
    if (!(gain > most)) return false;
    most = gain;
    best = change;
    return true;
  };
  (void)is_better(kRidge);
  double ridge = kRidge;
  while (ridge < kMostRidge && is_better(ridge * kRidgeStep)) ridge *= kRidgeStep;
  if (ridge == kRidge) {
    while (ridge > kLeastRidge && is_better(ridge / kRidgeStep)) ridge /= kRidgeStep;
  }
  if (best.defined()) map.weight = (map.weight.to(at::kDouble) + best.t()).to(map.weight.scalar_type()).contiguous();
}

/// @param stream  the original's
at::Tensor weight_of(const LayerRunner& runner, const LayerTask& task, const SequenceBatch& batch,
                     const at::Tensor& stream) {
  return (importance_in(runner, task, batch) / squares_of(stream)).unsqueeze(-1);
}

}  // namespace

void refit_output(const LayerRunner& runner, const LayerTask& task, LayerWeights& weights) {
  if (weights.attention_post_norm.weight.defined()) return;
  const double multiplier = runner.transformer().spec().residual_multiplier;
  const LayerWeights before = weights;
  LayerWeights heads_only = weights;  // its attention block gives the heads' outputs themselves
  heads_only.output = {at::eye(weights.output.inputs(), runner.transformer().runtime().float_options())
                           .to(weights.output.weight),  // not every type has an identity
                       {}};
  refit(runner, task, weights.output, [&](const SequenceBatch& batch) {
    const at::Tensor inputs = runner.rows(task.inputs, batch);
    const at::Tensor original_inputs = runner.rows(task.original_inputs, batch);
    const at::Tensor heads = runner.run_attention_block(heads_only, task.layer, batch, inputs);
    const at::Tensor wanted =
        runner.run_attention_block(*task.original, task.layer, batch, original_inputs).to(at::kFloat);
    const at::Tensor stream = original_inputs.to(at::kFloat) + wanted * multiplier;
    return Rows{.features = heads.to(at::kFloat),
                .missing = (stream - inputs.to(at::kFloat)) / multiplier - before.output(heads).to(at::kFloat),
                .weight = weight_of(runner, task, batch, stream)};
  });
}

void refit_mlp(const LayerRunner& runner, const LayerTask& task, LayerWeights& weights) {
  if (weights.mlp_post_norm.weight.defined()) return;
  const double multiplier = runner.transformer().spec().residual_multiplier;
  const LayerWeights before = weights;
  refit(runner, task, weights.mlp.down, [&](const SequenceBatch& batch) {
    const at::Tensor inputs = runner.rows(task.inputs, batch);
    const at::Tensor stream = runner.rows(task.targets, batch).to(at::kFloat);
    at::Tensor features;
    const at::Tensor out = runner.run(before, task.layer, batch, inputs, &features).to(at::kFloat);
    return Rows{.features = features.to(at::kFloat),
                .missing = (stream - out) / multiplier,
                .weight = weight_of(runner, task, batch, stream)};
  });
}

}  // namespace qcqa
