#include "tiny_llama.hpp"

#include <cmath>
#include <limits>

namespace qcqa::examples {
namespace {

// Near 1 / sqrt(hidden): with the customary 0.02 a model this narrow starts out with flat attention
// and needs several times the steps before it looks anything up.
constexpr double kInitialDeviation = 0.08;

// x (..., inputs) times weight (outputs, inputs) transposed, as a convolution with a 1x1 kernel
// over channels-last data. That is the same sum; the detour is for speed: LibTorch takes
// convolutions to oneDNN but float32 products to the BLAS, which on a plain Debian is the
// unoptimised reference BLAS (20 times slower here).
torch::Tensor project(const torch::Tensor& x, const torch::Tensor& weight) {
  const std::int64_t inputs = weight.size(1);
  const std::int64_t outputs = weight.size(0);
  const torch::Tensor pixels = x.reshape({1, -1, 1, inputs}).permute({0, 3, 1, 2});
  const torch::Tensor kernel = weight.view({outputs, inputs, 1, 1});
  std::vector<std::int64_t> shape = x.sizes().vec();
  shape.back() = outputs;
  return torch::conv2d(pixels, kernel).permute({0, 2, 3, 1}).reshape(shape);
}

torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight, double epsilon) {
  return x * torch::rsqrt(x.square().mean(-1, true) + epsilon) * weight;
}

// Plane i of a head is the pair of channels (i, i + head_dim / 2).
torch::Tensor rotate(const torch::Tensor& x, const torch::Tensor& cosine, const torch::Tensor& sine) {
  const auto halves = x.chunk(2, -1);
  return x * cosine + torch::cat({-halves[1], halves[0]}, -1) * sine;
}

}  // namespace

TinyLlama::TinyLlama(const TinyLlamaShape& shape) : shape_(shape) {
  const std::int64_t hidden = shape.hidden;
  const std::int64_t attention_width = shape.heads * shape.head_dim;
  const auto matrix = [](std::int64_t rows, std::int64_t columns, double deviation) {
    return torch::randn({rows, columns}) * deviation;
  };
  // What is added to the residual stream starts smaller the more layers add to it (as in GPT-2).
  const double output_deviation = kInitialDeviation / std::sqrt(2.0 * static_cast<double>(shape.layers));

  embedding_ = named("model.embed_tokens.weight", matrix(shape.vocabulary, hidden, kInitialDeviation));
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    const std::string at = "model.layers." + std::to_string(i) + ".";
    const auto linear = [&](const char* name, std::int64_t rows, std::int64_t columns,
                            double deviation = kInitialDeviation) {
      return named(at + name + ".weight", matrix(rows, columns, deviation));
    };
    const auto norm = [&](const char* name) { return named(at + name + ".weight", torch::ones({hidden})); };
    Layer layer;
    layer.input_norm = norm("input_layernorm");
    layer.q = linear("self_attn.q_proj", attention_width, hidden);
    layer.k = linear("self_attn.k_proj", attention_width, hidden);
    layer.v = linear("self_attn.v_proj", attention_width, hidden);
    layer.o = linear("self_attn.o_proj", hidden, attention_width, output_deviation);
    layer.post_norm = norm("post_attention_layernorm");
    layer.gate = linear("mlp.gate_proj", shape.intermediate, hidden);
    layer.up = linear("mlp.up_proj", shape.intermediate, hidden);
    layer.down = linear("mlp.down_proj", hidden, shape.intermediate, output_deviation);
    layers_.push_back(layer);
  }
  final_norm_ = named("model.norm.weight", torch::ones({hidden}));

  const std::int64_t planes = shape.head_dim / 2;
  const torch::Tensor frequency = torch::pow(
      shape.rope_theta, torch::arange(planes, torch::kFloat64) * (-2.0 / static_cast<double>(shape.head_dim)));
  const torch::Tensor angle = torch::outer(torch::arange(shape.positions, torch::kFloat64), frequency).repeat({1, 2});
  cosine_ = angle.cos().to(torch::kFloat32);
  sine_ = angle.sin().to(torch::kFloat32);
  causal_mask_ = torch::full({shape.positions, shape.positions}, -std::numeric_limits<float>::infinity()).triu(1);
}

torch::Tensor TinyLlama::named(const std::string& name, const torch::Tensor& weight) {
  weights_.emplace_back(name, weight.detach().requires_grad_(true));
  return weights_.back().second;
}

torch::Tensor TinyLlama::attention(const Layer& layer, const torch::Tensor& x) const {
  const std::int64_t rows = x.size(0);
  const std::int64_t length = x.size(1);
  const auto heads = [&](const torch::Tensor& weight) {
    return project(x, weight).view({rows, length, shape_.heads, shape_.head_dim}).transpose(1, 2);
  };
  const torch::Tensor cosine = cosine_.slice(0, 0, length);
  const torch::Tensor sine = sine_.slice(0, 0, length);
  const double scale = 1.0 / std::sqrt(static_cast<double>(shape_.head_dim));
  const torch::Tensor queries = rotate(heads(layer.q), cosine, sine) * scale;
  const torch::Tensor keys = rotate(heads(layer.k), cosine, sine);
  const torch::Tensor mask = causal_mask_.slice(0, 0, length).slice(1, 0, length);
  const torch::Tensor attended = torch::softmax(torch::matmul(queries, keys.transpose(2, 3)) + mask, -1);
  const torch::Tensor mixed = torch::matmul(attended, heads(layer.v));
  return project(mixed.transpose(1, 2).reshape({rows, length, -1}), layer.o);
}

torch::Tensor TinyLlama::logits(const torch::Tensor& tokens) const {
  torch::Tensor x = torch::embedding(embedding_, tokens);
  for (const Layer& layer : layers_) {
    x = x + attention(layer, rms_norm(x, layer.input_norm, shape_.norm_epsilon));
    const torch::Tensor y = rms_norm(x, layer.post_norm, shape_.norm_epsilon);
    const torch::Tensor gated = torch::silu(project(y, layer.gate)) * project(y, layer.up);
    x = x + project(gated, layer.down);
  }
  return project(rms_norm(x, final_norm_, shape_.norm_epsilon), embedding_);
}

torch::Tensor TinyLlama::loss(const torch::Tensor& tokens) const {
  const torch::Tensor predicted = logits(tokens.slice(1, 0, -1));
  return torch::nn::functional::cross_entropy(predicted.flatten(0, 1), tokens.slice(1, 1).flatten());
}

torch::Tensor TinyLlama::attention_weight(std::int64_t layer, const std::string& name) const {
  const Layer& weights = layers_.at(static_cast<std::size_t>(layer));
  switch (name.front()) {
    case 'q':
      return weights.q;
    case 'k':
      return weights.k;
    case 'v':
      return weights.v;
    default:
      return weights.o;
  }
}

TinyLlama TinyLlama::clone() const {
  const torch::NoGradGuard no_gradient;
  TinyLlama copy(shape_);
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    copy.weights_[i].second.copy_(weights_[i].second);
  }
  return copy;
}

}  // namespace qcqa::examples
