#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

namespace qcqa::examples {

/// The example model's shape. Multi-head attention: every query head has a KV head of its own.
struct TinyLlamaShape {
  std::int64_t vocabulary = 480;
  std::int64_t hidden = 96;
  std::int64_t layers = 4;
  std::int64_t heads = 8;
  std::int64_t head_dim = 12;
  std::int64_t intermediate = 256;
  std::int64_t positions = 128;  ///< longest row
  double rope_theta = 10000.0;
  double norm_epsilon = 1e-5;
};

/// A Llama (Touvron et al. 2023, arXiv 2302.13971, section 2) as a list of named weights and a
/// function over them: RMSNorm, rotary positions in Hugging Face's half-split order, SwiGLU, the
/// embedding tied to the output. Weights have the names and shapes of `LlamaForCausalLM`.
class TinyLlama {
 public:
  /// Random weights from torch's generator (seed it first).
  explicit TinyLlama(const TinyLlamaShape& shape);

  /// @param tokens  int64 (rows, length), length <= shape().positions
  /// @return float32 (rows, length, vocabulary)
  [[nodiscard]] torch::Tensor logits(const torch::Tensor& tokens) const;

  /// Mean negative log likelihood of each token after the first, in nats.
  [[nodiscard]] torch::Tensor loss(const torch::Tensor& tokens) const;

  [[nodiscard]] const TinyLlamaShape& shape() const { return shape_; }
  [[nodiscard]] const std::vector<std::pair<std::string, torch::Tensor>>& weights() const { return weights_; }

  /// The projection of a layer: "q_proj", "k_proj", "v_proj" or "o_proj".
  [[nodiscard]] torch::Tensor attention_weight(std::int64_t layer, const std::string& name) const;

  /// A model of the same shape with its own copies of the weights.
  [[nodiscard]] TinyLlama clone() const;

 private:
  struct Layer {
    torch::Tensor input_norm, q, k, v, o, post_norm, gate, up, down;
  };

  [[nodiscard]] torch::Tensor attention(const Layer& layer, const torch::Tensor& x) const;
  torch::Tensor named(const std::string& name, const torch::Tensor& weight);

  TinyLlamaShape shape_;
  std::vector<std::pair<std::string, torch::Tensor>> weights_;
  torch::Tensor embedding_;
  std::vector<Layer> layers_;  // the same tensors as in weights_, by role
  torch::Tensor final_norm_;
  torch::Tensor cosine_, sine_;  // (positions, head_dim)
  torch::Tensor causal_mask_;    // (positions, positions), 0 or -infinity
};

}  // namespace qcqa::examples
