#include "statistics/second_moment.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "statistics/activations.hpp"

namespace qcqa {

at::Tensor second_moment(const LayerRunner& runner, const at::Tensor& hidden, const LayerWeights& layer,
                         std::int64_t inputs) {
  const std::vector<SequenceBatch>& batches = runner.batches();
  const auto options = runner.transformer().runtime().options().dtype(at::kDouble);
  const auto wanted = static_cast<std::size_t>(
      std::max<std::int64_t>(1, kMomentTokensPerColumn * inputs * static_cast<std::int64_t>(batches.size()) /
                                    std::max<std::int64_t>(1, runner.tokens())));
  const std::size_t every = std::max<std::size_t>(1, batches.size() / wanted);
  at::Tensor sum = at::zeros({inputs, inputs}, options);
  double counts = 0;
  const at::NoGradGuard no_gradients;
  const at::Tensor importance = importance_of(massive_tokens(hidden));
  for (std::size_t i = 0; i < batches.size(); i += every) {
    at::Tensor x = attention_input(layer, runner.transformer().spec(), runner.rows(hidden, batches[i])).to(at::kDouble);
    if (inputs > x.size(1)) x = at::cat({x, at::ones({x.size(0), 1}, options)}, 1);
    const at::Tensor count = runner.rows(importance, batches[i]).to(at::kDouble);
    x = x * count.sqrt().unsqueeze(1);
    sum.addmm_(x.t(), x);
    counts += count.sum().item<double>();
  }
  return (sum / counts).to(at::kCPU);
}

at::Tensor isotropic_moment(const Model& model, int layer, std::int64_t inputs) {
  const AttentionLayer& attention = model.layers()[static_cast<std::size_t>(layer)];
  const std::int64_t hidden_size = attention.hidden_size;
  const std::string& name = model.architecture().attention.input_norm;
  const NormWeights norm =
      name.empty() ? NormWeights{} : load_norm(model, model.architecture().prefix_of(attention.place) + name, {});
  const auto wide = [](const at::Tensor& tensor) { return tensor.to(at::kDouble); };
  at::Tensor squares = at::ones({inputs}, at::kDouble);
  at::Tensor mean = at::zeros({inputs}, at::kDouble);
  if (norm.weight.defined()) squares.narrow(0, 0, hidden_size).copy_(wide(norm.weight).square());
  if (norm.bias.defined()) mean.narrow(0, 0, hidden_size).copy_(wide(norm.bias));
  if (inputs > hidden_size) {
    squares[hidden_size] = 0;
    mean[hidden_size] = 1;
  }
  return at::diag(squares) + at::outer(mean, mean);
}

}  // namespace qcqa
