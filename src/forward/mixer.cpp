#include "forward/mixer.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "forward/layer.hpp"

namespace qcqa {
namespace {

/// Tokens of the gated delta rule that are solved for together.
constexpr std::int64_t kChunk = 64;

/// A causal convolution of every channel by itself. @param x  (sequences, tokens, channels)  @param past  becomes what
/// the next call needs
at::Tensor convolved(const MixerWeights& weights, const at::Tensor& x, at::Tensor& past) {
  const std::int64_t taps = weights.kernel.size(0), tokens = x.size(1);
  const at::Tensor seen = at::cat({past, x}, 1);
  at::Tensor out = seen.narrow(1, 0, tokens) * weights.kernel[0];
  for (std::int64_t tap = 1; tap < taps; ++tap) out = out + seen.narrow(1, tap, tokens) * weights.kernel[tap];
  past = seen.narrow(1, tokens, taps - 1);
  return weights.kernel_bias.defined() ? out + weights.kernel_bias : out;
}

/// Each head's vector in length 1. @param x  (..., dim), float32
at::Tensor normalised(const at::Tensor& x) {
  static constexpr double kLeast = 1e-6;
  return x * at::rsqrt(x.square().sum(-1, true) + kLeast);
}

/// What the gated delta rule does with the tokens of a chunk. With cumulative decays D the writes w of a chunk are the
/// solution of a triangular system: w_i = b_i (v_i - D_i S' k_i - sum over j < i of (D_i / D_j) (k_j . k_i) w_j).
/// @param queries, keys  (sequences, heads, tokens, key dim)  @param values  (sequences, heads, tokens, value dim)
/// @param update, log_decay  (sequences, heads, tokens)
/// @param memory  S before it, then behind it  @returns as `values`
at::Tensor delta_chunk(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                       const at::Tensor& update, const at::Tensor& log_decay, at::Tensor& memory) {
  const std::int64_t tokens = keys.size(2);
  const at::Tensor since_begin = log_decay.cumsum(2);
  const at::Tensor later = at::ones({tokens, tokens}, keys.options().dtype(at::kBool)).triu(1);
  const at::Tensor between = (since_begin.unsqueeze(3) - since_begin.unsqueeze(2))
                                 .masked_fill(later, -std::numeric_limits<double>::infinity())
                                 .exp();
  const at::Tensor decay = since_begin.exp().unsqueeze(3);
  const at::Tensor weighted_keys = keys * update.unsqueeze(3);
  const at::Tensor system = weighted_keys.matmul(keys.transpose(2, 3)) * between;
  const at::Tensor news = values * update.unsqueeze(3) - (weighted_keys * decay).matmul(memory);
  const at::Tensor writes =
      at::linalg_solve_triangular(system, news, /*upper=*/false, /*left=*/true, /*unitriangular=*/true);
  const at::Tensor out =
      (queries * decay).matmul(memory) + (queries.matmul(keys.transpose(2, 3)) * between).matmul(writes);
  const at::Tensor to_end = (since_begin.narrow(2, tokens - 1, 1) - since_begin).exp().unsqueeze(3);
  memory = memory * decay.narrow(2, tokens - 1, 1) + (keys * to_end).transpose(2, 3).matmul(writes);
  return out;
}

/// @param rows  what `input` made, (sequences, tokens, ...)  @returns (sequences, tokens, value heads * value dim)
at::Tensor delta_rule(const MixerWeights& weights, const ForwardSpec& spec, const at::Tensor& rows, MixerState& state) {
  const MixerFacts& facts = *spec.mixer;
  const std::int64_t heads = facts.value_heads;
  const std::vector<at::Tensor> parts =
      at::split_with_sizes(rows, {facts.channels(), facts.values_width(), heads, heads}, 2);
  const at::Tensor mixed = activated(convolved(weights, parts[0], state.past), spec.activation).to(at::kFloat);
  const std::vector<at::Tensor> qkv =
      at::split_with_sizes(mixed, {facts.keys_width(), facts.keys_width(), facts.values_width()}, 2);
  // (sequences, value heads, tokens, dim): each key head stands for the value heads it has.
  const auto of_heads = [&](const at::Tensor& x, int dim) {
    return x.unflatten(2, at::IntArrayRef({-1, dim})).transpose(1, 2);
  };
  const auto of_key_heads = [&](const at::Tensor& x) {
    const at::Tensor own = normalised(of_heads(x, facts.key_dim));
    return facts.values_per_key() == 1 ? own : own.repeat_interleave(facts.values_per_key(), 1);
  };
  const at::Tensor queries = of_key_heads(qkv[0]) / std::sqrt(facts.key_dim);
  const at::Tensor keys = of_key_heads(qkv[1]);
  const at::Tensor values = of_heads(qkv[2], facts.value_dim);
  const at::Tensor update = at::sigmoid(parts[2]).to(at::kFloat).transpose(1, 2);
  const at::Tensor log_decay =
      (weights.decay_rate * at::softplus(parts[3].to(at::kFloat) + weights.decay_bias)).transpose(1, 2);
  std::vector<at::Tensor> out;
  for (std::int64_t first = 0; first < rows.size(1); first += kChunk) {
    const std::int64_t tokens = std::min(kChunk, rows.size(1) - first);
    const auto some = [&](const at::Tensor& x) { return x.narrow(2, first, tokens); };
    out.push_back(delta_chunk(some(queries), some(keys), some(values), some(update), some(log_decay), state.memory));
  }
  const at::Tensor heard = at::cat(out, 2).transpose(1, 2);  // (sequences, tokens, heads, value dim)
  const at::Tensor scale = at::rsqrt(heard.square().mean(-1, true) + spec.norm_epsilon);
  const at::Tensor gate = parts[1].to(at::kFloat).view(heard.sizes());
  return (heard * scale * weights.norm * at::silu(gate)).flatten(2).to(rows.scalar_type());
}

/// Sequences of one length. @param x  (sequences, tokens, hidden_size), normed  @returns the same shape
at::Tensor mix_together(const MixerWeights& weights, const ForwardSpec& spec, const at::Tensor& x, MixerState& state) {
  const at::Tensor flat = x.reshape({-1, x.size(2)});
  const at::Tensor rows = weights.input(flat).view({x.size(0), x.size(1), -1});
  at::Tensor mixed;
  if (spec.names->mixer->kind == MixerKind::gated_delta) {
    mixed = delta_rule(weights, spec, rows, state);
  } else {
    const std::vector<at::Tensor> parts = at::split(rows, x.size(2), 2);
    mixed = parts[1] * convolved(weights, parts[0] * parts[2], state.past);
  }
  return weights.output(mixed.reshape({flat.size(0), -1})).view(x.sizes());
}

bool have_one_length(const std::vector<AttentionSpan>& spans) {
  return std::ranges::all_of(spans, [&](const AttentionSpan& span) { return span.queries == spans.front().queries; });
}

at::Tensor mix(const MixerWeights& weights, const ForwardSpec& spec, const std::vector<AttentionSpan>& spans,
               const at::Tensor& x, MixerState& state) {
  const auto count = static_cast<std::int64_t>(spans.size());
  if (have_one_length(spans)) {
    return mix_together(weights, spec, x.view({count, spans.front().queries, x.size(1)}), state).flatten(0, 1);
  }
  std::vector<at::Tensor> out, past, memory;
  for (std::int64_t i = 0; i < count; ++i) {
    const AttentionSpan& span = spans[static_cast<std::size_t>(i)];
    MixerState own = {state.past.narrow(0, i, 1), state.memory.defined() ? state.memory.narrow(0, i, 1) : at::Tensor()};
    out.push_back(mix_together(weights, spec, x.narrow(0, span.query_row, span.queries).unsqueeze(0), own).squeeze(0));
    past.push_back(own.past);
    memory.push_back(own.memory);
  }
  state = {at::cat(past), state.memory.defined() ? at::cat(memory) : at::Tensor()};
  return at::cat(out);
}

/// Rows of a tensor that has, for each key head, these numbers of rows of several kinds one behind the other.
class ByKeyHead {
 public:
  ByKeyHead(const TensorView& tensor, int heads, std::vector<std::int64_t> sizes)
      : tensor_(tensor), heads_(heads), sizes_(std::move(sizes)) {}

  void add(LinearSource& source, std::size_t kind) const {
    std::int64_t of_head = 0, before = 0;
    for (std::size_t i = 0; i < sizes_.size(); ++i) {
      of_head += sizes_[i];
      if (i < kind) before += sizes_[i];
    }
    for (int head = 0; head < heads_; ++head)
      source.parts.push_back({tensor_.rows(head * of_head + before, sizes_[kind]), {}, sizes_[kind]});
  }

 private:
  const TensorView& tensor_;
  int heads_;
  std::vector<std::int64_t> sizes_;
};

/// Queries, keys, values, gates, updates, decays.
LinearSource delta_input(const Model& model, const std::string& prefix, const MixerDescription& names,
                         const MixerFacts& facts) {
  const Checkpoint& checkpoint = model.checkpoint();
  const auto tensor = [&](const std::string& name) -> const TensorView& {
    return checkpoint.at(prefix + name + ".weight");
  };
  LinearSource source{.parts = {}, .inputs = model.settings().shape().hidden_size};
  if (names.gate.empty()) {
    const std::int64_t values = std::int64_t{facts.values_per_key()} * facts.value_dim;
    const ByKeyHead packed(tensor(names.input), facts.key_heads, {facts.key_dim, facts.key_dim, values, values});
    for (std::size_t kind = 0; kind < 4; ++kind) packed.add(source, kind);
  } else {
    for (const std::string* name : {&names.input, &names.gate}) source.add(tensor(*name), nullptr);
  }
  if (names.update == names.decay) {
    const std::int64_t values = facts.values_per_key();
    const ByKeyHead packed(tensor(names.update), facts.key_heads, {values, values});
    for (std::size_t kind = 0; kind < 2; ++kind) packed.add(source, kind);
  } else {
    for (const std::string* name : {&names.update, &names.decay}) source.add(tensor(*name), nullptr);
  }
  return source;
}

}  // namespace

MixerState empty_state(const MixerWeights& weights, std::int64_t sequences, const Runtime& runtime) {
  MixerState state{
      .past = at::zeros({sequences, weights.kernel.size(0) - 1, weights.kernel.size(1)}, runtime.options()),
      .memory = {}};
  if (weights.value_heads > 0) {
    state.memory =
        at::zeros({sequences, weights.value_heads, weights.key_dim, weights.value_dim}, runtime.float_options());
  }
  return state;
}

at::Tensor run_mixer_layer(const LayerWeights& weights, const ForwardSpec& spec,
                           const std::vector<AttentionSpan>& spans, const at::Tensor& hidden, MixerState* state) {
  return run_blocks(weights, spec, hidden, [&](const at::Tensor& normed) {
    if (state) return mix(*weights.mixer, spec, spans, normed, *state);
    const MixerWeights& mixer = *weights.mixer;
    MixerState begin = empty_state(mixer, static_cast<std::int64_t>(spans.size()),
                                   {.device = normed.device(), .type = normed.scalar_type()});
    return mix(mixer, spec, spans, normed, begin);
  });
}

MixerWeights load_mixer(const Model& model, const std::string& prefix, const ForwardSpec& spec,
                        const Runtime& runtime) {
  const MixerDescription& names = *spec.names->mixer;
  const MixerFacts& facts = *spec.mixer;
  const Checkpoint& checkpoint = model.checkpoint();
  MixerWeights weights;
  const auto vector = [&](const std::string& name) {
    return widened(checkpoint.at(prefix + name)).flatten().to(runtime.device);
  };
  const at::Tensor kernel = widened(checkpoint.at(prefix + names.convolution + ".weight"));
  weights.kernel = kernel.flatten(1).t().contiguous().to(runtime.options());
  if (facts.bias) weights.kernel_bias = vector(names.convolution + ".bias").to(runtime.options());
  weights.output = load_linear(model, prefix + names.output, runtime);
  if (names.kind == MixerKind::short_convolution) {
    weights.input = load_linear(model, prefix + names.input, runtime);
    return weights;
  }
  weights.value_heads = facts.value_heads;
  weights.key_dim = facts.key_dim;
  weights.value_dim = facts.value_dim;
  weights.input = read_linear(delta_input(model, prefix, names, facts), runtime);
  weights.decay_rate = -vector(names.decay_log).exp();
  weights.decay_bias = vector(names.decay_bias);
  weights.norm = vector(names.norm + ".weight");
  return weights;
}

}  // namespace qcqa
