#include "merge/reconstruction.hpp"

#include <torch/csrc/autograd/autograd.h>
#include <torch/optim/adam.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>

#include "forward/for_each_batch.hpp"
#include "support/parallel.hpp"

namespace qcqa {
namespace {

constexpr double kRidge = 1e-3;  ///< share of the features' mean square
/// Tokens per column of the normal equations that are enough to set them up.
constexpr std::int64_t kTokensPerColumn = 64;
constexpr int kJudgements = 8;  ///< times that the held-back batches are looked at
constexpr double kWarmUp = 0.05;
/// Norms and biases against matrices: their entries are of the size of their root mean square, so the same share moves them
/// further.
constexpr double kVectorRate = 0.1;

double number(const at::Tensor& scalar) { return scalar.item<double>(); }

/// The weights that may change, with their learning rates.
struct Parameter {
  at::Tensor* place;
  double rate;
};

std::vector<Parameter> parameters_of(LayerWeights& weights, const ReconstructOptions& options, bool query_key_value_bias) {
  std::vector<Parameter> parameters;
  const auto add = [&](at::Tensor& tensor) {
    if (!tensor.defined()) return;
    const double size = std::sqrt(number(tensor.to(at::kDouble).square().mean()));
    const double share = tensor.dim() > 1 ? 1 : kVectorRate;
    parameters.push_back({&tensor, options.learning_rate * share * (size > 0 ? size : 1e-3)});
  };
  add(weights.query_key_value.weight);
  if (query_key_value_bias) add(weights.query_key_value.bias);
  add(weights.output.weight);
  if (options.scope == ReconstructScope::attention) return parameters;
  add(weights.output.bias);
  for (Linear* linear : {&weights.gate_up, &weights.down}) {
    add(linear->weight);
    add(linear->bias);
  }
  for (NormWeights* norm : {&weights.attention_norm, &weights.attention_post_norm, &weights.mlp_norm,
                            &weights.mlp_post_norm, &weights.query_norm, &weights.key_norm}) {
    add(norm->weight);
    add(norm->bias);
  }
  return parameters;
}

std::vector<at::Tensor> copies_of(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> copies;
  for (const at::Tensor& tensor : tensors) copies.push_back(tensor.detach().clone());
  return copies;
}

/// Batches in a new random order each time all were seen.
class BatchOrder {
 public:
  BatchOrder(std::vector<std::size_t> batches, std::uint64_t seed) : batches_(std::move(batches)), random_(seed) {}

  std::size_t next() {
    if (place_ % batches_.size() == 0) shuffle();
    return batches_[place_++ % batches_.size()];
  }

 private:
  void shuffle() {  // written out: the standard's shuffles differ between libraries
    for (std::size_t i = batches_.size(); i > 1; --i) std::swap(batches_[i - 1], batches_[random_() % i]);
  }

  std::vector<std::size_t> batches_;
  std::mt19937_64 random_;
  std::size_t place_ = 0;
};

double rate_factor(int step, int steps) {
  const double done = static_cast<double>(step) / steps;
  const double warm = std::min(1.0, (step + 1) / std::max(1.0, kWarmUp * steps));
  return warm * 0.5 * (1 + std::cos(std::numbers::pi * done));
}

/// Mean over batches of the variance that errors are measured against.
double variance_of(const at::Tensor& targets) {
  const std::int64_t rows = std::min<std::int64_t>(targets.size(0), 65536);
  return number(targets.narrow(0, 0, rows).to(at::kDouble).var(0, false).mean());
}

at::Tensor square_error(const LayerStreams& streams, const LayerTask& task, const LayerWeights& weights,
                        const SequenceBatch& batch) {
  const at::Tensor out = streams.run(weights, task.layer, batch, streams.rows(task.inputs, batch));
  return (out - streams.rows(task.targets, batch)).to(at::kFloat).square().sum();
}

}  // namespace

double output_error(const LayerStreams& streams, const LayerTask& task, const LayerWeights& weights,
                    std::span<const std::size_t> batches) {
  std::vector<double> errors(batches.size());
  std::int64_t elements = 0;
  for (const std::size_t index : batches) elements += streams.batches()[index].rows * task.targets.size(1);
  for_each_batch(streams.transformer().runtime(), batches.size(), [&](std::size_t i) {
    errors[i] = number(square_error(streams, task, weights, streams.batches()[batches[i]]));
  });
  double sum = 0;
  for (const double error : errors) sum += error;
  return sum / static_cast<double>(elements) / variance_of(task.targets);
}

void refit_output(const LayerStreams& streams, const LayerTask& task, LayerWeights& weights) {
  if (weights.attention_post_norm.weight.defined()) return;
  const ForwardSpec& spec = streams.transformer().spec();
  LayerWeights heads_only = weights;  // its attention block gives the heads' outputs themselves
  const std::int64_t columns = weights.output.inputs();
  heads_only.output = {at::eye(columns, weights.output.weight.options()), {}};
  const auto wide = [&] { return weights.output.weight.options().dtype(at::kDouble); };
  std::vector<at::Tensor> squares(task.fitted.size());
  std::vector<at::Tensor> products(task.fitted.size());
  std::size_t count = 0;
  for (std::int64_t tokens = 0; count < task.fitted.size() && tokens < kTokensPerColumn * columns; ++count) {
    tokens += streams.batches()[task.fitted[count]].rows;
  }
  at::Tensor square = at::zeros({columns, columns}, wide());
  at::Tensor product = at::zeros({columns, weights.output.outputs()}, wide());
  // In rounds, so that only a few batches' products are there at once; added in order, whatever thread was first.
  static constexpr std::size_t kRound = 16;
  for (std::size_t begin = 0; begin < count; begin += kRound) {
    const std::size_t round = std::min(kRound, count - begin);
    for_each_batch(streams.transformer().runtime(), round, [&](std::size_t i) {
      const SequenceBatch& batch = streams.batches()[task.fitted[begin + i]];
      const at::Tensor inputs = streams.rows(task.inputs, batch);
      const at::Tensor original_inputs = streams.rows(task.original_inputs, batch);
      const at::Tensor heads = streams.run_attention_block(heads_only, task.layer, batch, inputs).to(at::kDouble);
      at::Tensor wanted =
          streams.run_attention_block(*task.original, task.layer, batch, original_inputs).to(at::kDouble) +
          (original_inputs.to(at::kDouble) - inputs.to(at::kDouble)) / spec.residual_multiplier;
      if (weights.output.bias.defined()) wanted = wanted - weights.output.bias.to(at::kDouble);
      squares[begin + i] = at::mm(heads.t(), heads);
      products[begin + i] = at::mm(heads.t(), wanted);
    });
    for (std::size_t i = begin; i < begin + round; ++i) {
      square += squares[i];
      product += products[i];
      squares[i] = products[i] = at::Tensor();
    }
  }
  const at::Tensor ridge = at::eye(columns, square.options()) * (kRidge * square.diagonal().mean());
  const at::Tensor before = weights.output.weight.t().to(at::kDouble);
  const at::Tensor after = at::linalg_solve(square + ridge, product + at::mm(ridge, before));
  weights.output.weight = after.t().to(weights.output.weight.scalar_type()).contiguous();
}

int reconstruct_layer(const LayerStreams& streams, const LayerTask& task, const ReconstructOptions& options,
                      std::uint64_t seed, LayerWeights& weights, const std::function<void(int)>& progress) {
  if (options.steps == 0) return 0;
  const AttentionLayer& layer = streams.transformer().layers()[static_cast<std::size_t>(task.layer)];
  const auto has_bias = [](const std::vector<HeadRows>& heads) { return !heads.front().bias.empty(); };
  // A bias that the checkpoint has no tensor for could not be stored.
  const bool bias = has_bias(layer.query) && has_bias(layer.key) && has_bias(layer.value);
  const std::vector<Parameter> parameters = parameters_of(weights, options, bias);
  std::vector<at::Tensor> values;
  // One for each weight: they are stepped side by side, and operators on parts of a weight would wait for each other.
  std::vector<std::unique_ptr<torch::optim::Adam>> optimizers;
  for (const Parameter& parameter : parameters) {
    *parameter.place = parameter.place->detach().clone().set_requires_grad(true);
    values.push_back(*parameter.place);
    optimizers.push_back(std::make_unique<torch::optim::Adam>(
        std::vector<at::Tensor>{*parameter.place}, torch::optim::AdamOptions(parameter.rate).betas({0.9, 0.95})));
  }
  std::vector<at::Tensor> best = copies_of(values);
  double best_error = output_error(streams, task, weights, task.held_back);
  int best_step = 0;
  const double scale = 1 / variance_of(task.targets);
  BatchOrder order(task.fitted, seed);
  const bool on_cpu = streams.transformer().runtime().device.is_cpu();
  const auto each = [&](std::size_t count, const auto& body) {
    if (on_cpu) return parallel_for(count, body);
    for (std::size_t i = 0; i < count; ++i) body(i);
  };
  for (int step = 1; step <= options.steps; ++step) {
    std::vector<const SequenceBatch*> batches;
    std::int64_t rows = 0;
    while (rows < options.step_tokens) {
      batches.push_back(&streams.batches()[order.next()]);
      rows += batches.back()->rows;
    }
    std::vector<torch::autograd::variable_list> gradients(batches.size());
    const auto differentiate = [&](std::size_t i) {
      const at::AutoGradMode with_gradients(true);
      const at::Tensor loss =
          square_error(streams, task, weights, *batches[i]) * (scale / static_cast<double>(rows * task.targets.size(1)));
      gradients[i] = torch::autograd::grad({loss}, values, {}, false, false, true);
    };
    each(batches.size(), differentiate);
    const double factor = rate_factor(step - 1, options.steps);
    each(values.size(), [&](std::size_t p) {
      at::Tensor sum;
      for (const auto& gradient : gradients) {
        if (gradient[p].defined()) sum = sum.defined() ? sum + gradient[p] : gradient[p];
      }
      values[p].mutable_grad() = sum;
      static_cast<torch::optim::AdamOptions&>(optimizers[p]->param_groups()[0].options()).lr(parameters[p].rate * factor);
      optimizers[p]->step();
    });
    if (step == options.steps || step * kJudgements / options.steps != (step - 1) * kJudgements / options.steps) {
      const double error = output_error(streams, task, weights, task.held_back);
      if (error < best_error) {
        best_error = error;
        best_step = step;
        best = copies_of(values);
      }
    }
    progress(step);
  }
  for (std::size_t p = 0; p < parameters.size(); ++p) *parameters[p].place = best[p];
  return best_step;
}

}  // namespace qcqa
