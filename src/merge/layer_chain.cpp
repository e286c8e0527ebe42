#include "merge/layer_chain.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <iterator>

namespace qcqa {
namespace {

std::vector<at::Tensor> from_all_activations(const LayerChain& chain, const at::Tensor& input) {
  const at::AutoGradMode with_gradients(true);
  std::vector<at::Tensor> weights;
  at::Tensor hidden = input;
  for (std::size_t layer = 0; layer < chain.weights.size(); ++layer) {
    std::ranges::copy(chain.weights[layer], std::back_inserter(weights));
    hidden = chain.run(layer, hidden);
  }
  return torch::autograd::grad({chain.loss(hidden)}, weights, {}, false, false, true);
}

std::vector<at::Tensor> layer_by_layer(const LayerChain& chain, const at::Tensor& input) {
  std::vector<at::Tensor> inputs = {input};
  {
    const at::NoGradGuard no_gradients;
    for (std::size_t layer = 0; layer < chain.weights.size(); ++layer)
      inputs.push_back(chain.run(layer, inputs.back()));
  }
  const at::AutoGradMode with_gradients(true);
  const auto as_leaf = [](const at::Tensor& hidden) { return hidden.detach().set_requires_grad(true); };
  const at::Tensor last = as_leaf(inputs.back());
  at::Tensor of_hidden = torch::autograd::grad({chain.loss(last)}, {last}).front();
  std::vector<std::vector<at::Tensor>> by_layer(chain.weights.size());
  for (std::size_t layer = chain.weights.size(); layer-- > 0;) {
    inputs.pop_back();  // what the layer gave is not needed any more
    const at::Tensor hidden = as_leaf(inputs.back());
    std::vector<at::Tensor> leaves(chain.weights[layer].begin(), chain.weights[layer].end());
    leaves.push_back(hidden);
    by_layer[layer] = torch::autograd::grad({chain.run(layer, hidden)}, leaves, {of_hidden}, false, false, true);
    of_hidden = by_layer[layer].back();
    by_layer[layer].pop_back();
  }
  std::vector<at::Tensor> gradients;
  for (auto& of_layer : by_layer) std::ranges::move(of_layer, std::back_inserter(gradients));
  return gradients;
}

}  // namespace

std::vector<at::Tensor> gradients_of(const LayerChain& chain, const at::Tensor& input, Activations activations) {
  return activations == Activations::kept ? from_all_activations(chain, input) : layer_by_layer(chain, input);
}

}  // namespace qcqa
