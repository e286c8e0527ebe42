#include "forward/transformer.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "forward/batch.hpp"
#include "forward/cached_values.hpp"
#include "forward/for_each_batch.hpp"
#include "forward/mixer.hpp"
#include "qcqa/checkpoint/float_codec.hpp"
#include "qcqa/forward/runnable.hpp"
#include "qcqa/model/output_head.hpp"
#include "qcqa/support/error.hpp"
#include "support/parallel.hpp"

namespace qcqa {
namespace {

/// Tokens that go through a layer together: enough for the matrix products to be fast, few enough that what is between
/// them stays in the caches.
constexpr std::int64_t kTokensOnCpu = 512;
constexpr std::int64_t kTokensOnGpu = 16384;

}  // namespace

Transformer::Transformer(const Model& model, const Runtime& runtime)
    : model_(&model),
      runtime_(runtime),
      spec_(read_forward_spec(model)),
      embedding_(&model.checkpoint().at(model.architecture().embedding + ".weight")),
      final_norm_(load_norm(model, spec_.names->final_norm, runtime_)) {
  (void)require_runnable(model);
  require_kv_cache(model, runtime_.kv_cache);
  if (const std::string& positions = spec_.names->positions.tensor; !positions.empty())
    positions_ = &model.checkpoint().at(positions + ".weight");
  if (const std::string& norm = spec_.names->embedding_norm; !norm.empty())
    embedding_norm_ = load_norm(model, norm, runtime_);
  std::vector<int>* before = &mixers_before_.emplace_back();
  const std::vector<int> with_heads = model.places();
  for (int place = 0; place < model.settings().shape().layers; ++place) {
    if (std::ranges::binary_search(with_heads, place)) {
      before = &mixers_before_.emplace_back();
    } else {
      before->push_back(place);
    }
  }
}

at::Tensor Transformer::embed(std::span<const std::int32_t> tokens, std::span<const std::int64_t> positions) const {
  const std::int64_t width = hidden_size();
  at::Tensor out = at::empty({static_cast<std::int64_t>(tokens.size()), width});
  float* const data = out.data_ptr<float>();
  for (const std::int32_t token : tokens) {
    if (token < 0 || token >= vocabulary()) {
      throw Error(ErrorKind::invalid_argument, model_->path().string(),
                  "token ids must be from 0 to " + std::to_string(vocabulary() - 1), std::to_string(token),
                  "Was the text tokenised for another model?");
    }
  }
  const auto row_size = static_cast<std::size_t>(width);
  parallel_for(tokens.size(),
               [&](std::size_t i) { embedding_->rows(tokens[i], 1).read(std::span(data + i * row_size, row_size)); });
  out = out.to(runtime_.options());
  if (spec_.embedding_multiplier != 1) out.mul_(spec_.embedding_multiplier);
  if (positions_) out.add_(position_rows(positions));
  return embedding_norm_.weight.defined() ? apply_norm(out, embedding_norm_, spec_) : out;
}

at::Tensor Transformer::position_rows(std::span<const std::int64_t> positions) const {
  const std::int64_t offset = spec_.names->positions.offset;
  const std::int64_t known = positions_->shape[0] - offset;
  at::Tensor out = at::empty({static_cast<std::int64_t>(positions.size()), hidden_size()});
  float* const data = out.data_ptr<float>();
  const auto row_size = static_cast<std::size_t>(hidden_size());
  for (const std::int64_t position : positions) {
    if (position < known) continue;
    throw Error(ErrorKind::unsupported, model_->path().string(),
                "sequences must have at most the " + std::to_string(known) + " tokens that the model has positions for",
                std::to_string(position + 1), "Use a shorter --context.");
  }
  parallel_for(positions.size(), [&](std::size_t i) {
    positions_->rows(positions[i] + offset, 1).read(std::span(data + i * row_size, row_size));
  });
  return out.to(runtime_.options());
}

LayerWeights Transformer::load(int layer) const {
  return load_layer(*model_, model_->layers()[static_cast<std::size_t>(layer)], spec_, runtime_);
}

std::vector<LayerWeights> Transformer::load_mixers(int layer) const {
  std::vector<LayerWeights> mixers;
  for (const int place : mixers_before(layer)) mixers.push_back(load_mixer_layer(*model_, place, spec_, runtime_));
  return mixers;
}

AttentionOptions Transformer::attention_options(const LayerWeights& weights, int layer) const {
  return {.head_dim = weights.head_dim,
          .scale = spec_.attention_of(layer).scale,
          .softcap = spec_.attention_of(layer).softcap,
          .window = spec_.attention_of(layer).window,
          .kv_head_of = weights.kv_head_of,
          .sinks = weights.sinks,
          .slopes = weights.slopes,
          .rounds_slopes = spec_.rounds_alibi};
}

at::Tensor Transformer::run(std::span<const std::span<const std::int32_t>> sequences,
                            const ForwardProgress& progress) const {
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> positions;
  std::size_t longest = 1;
  for (const auto sequence : sequences) {
    tokens.insert(tokens.end(), sequence.begin(), sequence.end());
    for (std::size_t i = 0; i < sequence.size(); ++i) positions.push_back(static_cast<std::int64_t>(i));
    longest = std::max(longest, sequence.size());
  }
  const RotaryTables tables(spec_.rotary, static_cast<std::int64_t>(longest), runtime_);
  const std::vector<SequenceBatch> batches =
      make_batches(sequences, tables, runtime_.device.is_cpu() ? kTokensOnCpu : kTokensOnGpu);
  at::Tensor hidden = embed(tokens, positions);
  BatchProgress meter(progress);
  const std::span<const AttentionLayer> layers = model_->layers();
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const int layer = static_cast<int>(i);
    lead_in(layer, batches, {&hidden, 1}, meter);
    const LayerWeights weights = load(layer);
    release_layer(*model_, layers[i], spec_);
    if (i + 1 < layers.size()) prefetch_layer(*model_, layers[i + 1], spec_);
    const AttentionOptions options = attention_options(weights, layer);
    for_each_batch(runtime_, batches.size(), [&](std::size_t b) {
      meter.throw_if_stopped();
      const SequenceBatch& batch = batches[b];
      const Attend own_sequences = [&](const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values) {
        return attend(queries, as_cached(keys, runtime_.kv_cache), as_cached(values, runtime_.kv_cache), batch.spans,
                      options);
      };
      at::Tensor rows = hidden.narrow(0, batch.first_row, batch.rows);
      rows.copy_(run_layer(weights, spec_, rotary_of(batch.rotary, layer), own_sequences, rows));
      meter.add(batch.rows);
    });
    require_finite_hidden(hidden, layers[i].place);
  }
  lead_in(static_cast<int>(layers.size()), batches, {&hidden, 1}, meter);
  return final_norm(hidden);
}

void Transformer::lead_in(int layer, std::span<const SequenceBatch> batches, std::span<const at::Tensor> streams,
                          const BatchProgress& meter) const {
  for (const int place : mixers_before(layer)) {
    const LayerWeights weights = load_mixer_layer(*model_, place, spec_, runtime_);
    release_mixer_layer(*model_, place, spec_);
    for (const at::Tensor& hidden : streams) {
      for_each_batch(runtime_, batches.size(), [&](std::size_t i) {
        meter.throw_if_stopped();
        const at::Tensor rows = hidden.narrow(0, batches[i].first_row, batches[i].rows);
        rows.copy_(run_mixer_layer(weights, spec_, batches[i].spans, rows.to(runtime_.options())));
      });
      require_finite_hidden(hidden, place);
    }
  }
}

void Transformer::require_finite_hidden(const at::Tensor& hidden, int place) const {
  // The sum alone could overflow.
  if (std::isfinite(hidden.sum(at::kFloat).item<float>()) || at::isfinite(hidden).all().item<bool>()) return;
  throw Error(ErrorKind::unsupported, model_->path().string() + ": layer " + std::to_string(place),
              "what a layer computes must be finite", "not a number, from weights that all are",
              runtime_.kv_cache == KvCacheType::f16 ? "Keys or values may be too large for f16: try --kv-cache bf16."
              : runtime_.type == at::kFloat         ? "Its weights are too large for float32: take another checkpoint."
                                                    : "Use --compute f32.");
}

at::Tensor Transformer::final_norm(const at::Tensor& hidden) const { return apply_norm(hidden, final_norm_, spec_); }

void Transformer::load_head() {
  if (head_.weight.defined()) return;
  const OutputHead head = output_head(*model_);
  LinearSource source;
  source.add(*head.weight, head.bias);
  head_ = read_linear(source, runtime_);
  if (!model_->architecture().head.unit_rows) return;
  const at::Tensor rows = head_.weight.to(at::kFloat);
  static constexpr double kLeast = 1e-12;  // as torch.nn.functional.normalize
  head_.weight = (rows / rows.norm(2, {1}, true).clamp_min(kLeast)).to(head_.weight.scalar_type());
}

at::Tensor Transformer::logits(const at::Tensor& hidden) const {
  at::Tensor out = head_(hidden).to(at::kFloat);
  if (spec_.logit_divisor != 1) out.div_(spec_.logit_divisor);
  if (spec_.logit_softcap > 0) out = at::tanh(out.div_(spec_.logit_softcap)) * spec_.logit_softcap;
  return out;
}

}  // namespace qcqa
