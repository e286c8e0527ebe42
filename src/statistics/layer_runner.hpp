#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <initializer_list>
#include <span>
#include <vector>

#include "forward/batch.hpp"
#include "forward/for_each_batch.hpp"
#include "forward/transformer.hpp"
#include "qcqa/text/token_sequences.hpp"

namespace qcqa {

/// Tokens that go through a layer together, of which a step of reconstruction takes several batches: one for each of a
/// few threads. A GPU takes the same, so that it learns the same: a layer large enough to need one keeps it busy with
/// them.
inline constexpr std::int64_t kBatchTokens = 256;

/// Some of the sequences, evenly spread, of about so many tokens in all.
[[nodiscard]] std::vector<TokenSequence> evenly_spread(std::span<const TokenSequence> calibration, std::int64_t tokens);

/// Runs single layers over calibration sequences, in batches: the sequences' hidden states are the caller's.
class LayerRunner {
 public:
  /// @param transformer   of the original; must outlive this
  LayerRunner(const Transformer& transformer, std::span<const TokenSequence> sequences);

  [[nodiscard]] std::int64_t tokens() const noexcept { return tokens_; }
  [[nodiscard]] const std::vector<SequenceBatch>& batches() const noexcept { return batches_; }
  [[nodiscard]] const Transformer& transformer() const noexcept { return *transformer_; }

  /// Embeddings of all tokens into `hidden` (tokens, hidden_size).
  void embed(at::Tensor hidden) const;

  /// One layer over one batch. @param hidden  (batch.rows, hidden_size)  @returns the same shape
  /// @param mlp_features  where not nullptr: becomes what the MLP's last projection reads
  [[nodiscard]] at::Tensor run(const LayerWeights& weights, int layer, const SequenceBatch& batch,
                               const at::Tensor& hidden, at::Tensor* mlp_features = nullptr) const;
  /// The attention block alone: what it adds to the residual stream before any norm of its own.
  [[nodiscard]] at::Tensor run_attention_block(const LayerWeights& weights, int layer, const SequenceBatch& batch,
                                               const at::Tensor& hidden) const;

  /// Share of each token's attention, mean over heads, that goes to marked tokens of its sequence.
  /// @param marked  (batch.rows), bool  @returns (batch.rows), float
  [[nodiscard]] at::Tensor attention_to(const at::Tensor& marked, const LayerWeights& weights, int layer,
                                        const SequenceBatch& batch, const at::Tensor& hidden) const;

  /// Transformer::lead_in() for all batches, in place: a layer's input is what it leaves.
  void lead_in(int layer, std::initializer_list<at::Tensor> streams) const;
  void lead_in(int layer, std::span<const at::Tensor> streams) const;

  /// run() over all batches, in place.
  void advance(const LayerWeights& weights, int layer, at::Tensor hidden, BatchProgress& progress) const;

  /// The rows of a batch on the device that computes.
  [[nodiscard]] at::Tensor rows(const at::Tensor& hidden, const SequenceBatch& batch) const;

 private:
  [[nodiscard]] Attend attend_within(const LayerWeights& weights, int layer, const SequenceBatch& batch) const;

  const Transformer* transformer_;
  std::vector<std::span<const TokenId>> sequences_;
  std::int64_t tokens_ = 0;
  std::vector<SequenceBatch> batches_;
};

}  // namespace qcqa
