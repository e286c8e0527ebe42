#include "statistics/layer_runner.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "forward/for_each_batch.hpp"

namespace qcqa {

std::vector<TokenSequence> evenly_spread(std::span<const TokenSequence> calibration, std::int64_t tokens) {
  std::int64_t all = 0;
  for (const TokenSequence& sequence : calibration) all += static_cast<std::int64_t>(sequence.ids.size());
  std::vector<TokenSequence> some;
  std::int64_t seen = 0;
  std::int64_t taken = 0;
  for (const TokenSequence& sequence : calibration) {
    const bool is_behind = static_cast<double>(taken) * static_cast<double>(all) <=
                           static_cast<double>(seen) * static_cast<double>(tokens);
    seen += static_cast<std::int64_t>(sequence.ids.size());
    if (!is_behind) continue;
    taken += static_cast<std::int64_t>(sequence.ids.size());
    some.push_back(sequence);
  }
  return some;
}

LayerRunner::LayerRunner(const Transformer& transformer, std::span<const TokenSequence> sequences)
    : transformer_(&transformer) {
  std::size_t longest = 1;
  for (const TokenSequence& sequence : sequences) {
    sequences_.push_back(sequence.ids);
    longest = std::max(longest, sequence.ids.size());
    tokens_ += static_cast<std::int64_t>(sequence.ids.size());
  }
  const RotaryTables tables(transformer.spec().rotary, static_cast<std::int64_t>(longest), transformer.runtime());
  batches_ = make_batches(sequences_, tables, kBatchTokens);
}

void LayerRunner::embed(at::Tensor hidden) const {
  std::int64_t row = 0;
  for (const std::span<const TokenId> sequence : sequences_) {
    const auto length = static_cast<std::int64_t>(sequence.size());
    std::vector<std::int64_t> positions(sequence.size());
    std::iota(positions.begin(), positions.end(), std::int64_t{0});
    hidden.narrow(0, row, length).copy_(transformer_->embed(sequence, positions));
    row += length;
  }
}

Attend LayerRunner::attend_within(const LayerWeights& weights, int layer, const SequenceBatch& batch) const {
  return [options = transformer_->attention_options(weights, layer), &batch](
             const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values) {
    return attend(queries, keys, values, batch.spans, options);
  };
}

at::Tensor LayerRunner::rows(const at::Tensor& hidden, const SequenceBatch& batch) const {
  return hidden.narrow(0, batch.first_row, batch.rows).to(transformer_->runtime().options());
}

at::Tensor LayerRunner::run(const LayerWeights& weights, int layer, const SequenceBatch& batch,
                            const at::Tensor& hidden, at::Tensor* mlp_features) const {
  return run_layer(weights, transformer_->spec(), transformer_->rotary_of(batch.rotary, layer),
                   attend_within(weights, layer, batch), hidden, mlp_features);
}

at::Tensor LayerRunner::run_attention_block(const LayerWeights& weights, int layer, const SequenceBatch& batch,
                                            const at::Tensor& hidden) const {
  const ForwardSpec& spec = transformer_->spec();
  return run_attention(weights, spec, transformer_->rotary_of(batch.rotary, layer),
                       attend_within(weights, layer, batch), attention_input(weights, spec, hidden));
}

at::Tensor LayerRunner::attention_to(const at::Tensor& marked, const LayerWeights& weights, int layer,
                                     const SequenceBatch& batch, const at::Tensor& hidden) const {
  const ForwardSpec& spec = transformer_->spec();
  at::Tensor shares;
  // Values of 1 where a token is marked and 0 elsewhere: what the heads then give is the share.
  const Attend attend_to_marks = [&](const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values) {
    const at::Tensor marks = marked.to(values.scalar_type()).unsqueeze(1).expand_as(values).contiguous();
    shares = attend_within(weights, layer, batch)(queries, keys, marks);
    return shares;
  };
  (void)run_attention(weights, spec, transformer_->rotary_of(batch.rotary, layer), attend_to_marks,
                      attention_input(weights, spec, hidden));
  return shares.to(at::kFloat).mean(1);
}

void LayerRunner::lead_in(int layer, std::initializer_list<at::Tensor> streams) const {
  lead_in(layer, std::span(streams.begin(), streams.size()));
}

void LayerRunner::lead_in(int layer, std::span<const at::Tensor> streams) const {
  transformer_->lead_in(layer, batches_, streams, BatchProgress(nullptr));
}

void LayerRunner::advance(const LayerWeights& weights, int layer, at::Tensor hidden, BatchProgress& progress) const {
  for_each_batch(transformer_->runtime(), batches_.size(), [&](std::size_t i) {
    const SequenceBatch& batch = batches_[i];
    hidden.narrow(0, batch.first_row, batch.rows).copy_(run(weights, layer, batch, rows(hidden, batch)));
    progress.add(batch.rows);
  });
  transformer_->require_finite_hidden(hidden, transformer_->model().layers()[static_cast<std::size_t>(layer)].place);
}

}  // namespace qcqa
