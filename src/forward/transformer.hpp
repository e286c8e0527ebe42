#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "forward/attention.hpp"
#include "forward/batch.hpp"
#include "forward/for_each_batch.hpp"
#include "forward/layer.hpp"

namespace qcqa {

/// Called after each piece of work with the number of token-layers done; false asks to stop.
using ForwardProgress = std::function<bool(std::int64_t)>;

/// A model ready to run. Layers are read when they are needed and forgotten afterwards, so memory holds one layer, the
/// output matrix and the hidden states. `model` must outlive it.
class Transformer {
 public:
  /// @throws Error(unsupported) when the family, or a detail in config.json, cannot be run, or the heads do not fit
  ///         runtime.kv_cache
  Transformer(const Model& model, const Runtime& runtime);

  [[nodiscard]] const ForwardSpec& spec() const noexcept { return spec_; }
  [[nodiscard]] const Runtime& runtime() const noexcept { return runtime_; }
  [[nodiscard]] const Model& model() const noexcept { return *model_; }
  [[nodiscard]] std::int64_t vocabulary() const noexcept { return embedding_->shape[0]; }
  [[nodiscard]] std::int64_t hidden_size() const noexcept { return embedding_->shape[1]; }

  /// Embeddings of these tokens. @param positions  of each in its sequence
  /// @throws Error(invalid_argument) for ids outside the vocabulary; Error(unsupported) for positions beyond those that
  ///         the model has learned
  [[nodiscard]] at::Tensor embed(std::span<const std::int32_t> tokens, std::span<const std::int64_t> positions) const;

  /// Hidden states after the last norm, the sequences' tokens one after another. No padding, no cache.
  /// @throws Error(interrupted) when progress says so
  [[nodiscard]] at::Tensor run(std::span<const std::span<const std::int32_t>> sequences,
                               const ForwardProgress& progress = {}) const;

  /// Brings hidden states, in place, from the layer with heads before `layer` (or the embedding) through the layers
  /// without heads that come then; with as many as there are, from the last one to the end. Most models have none.
  /// @param streams  hidden states of the same batches
  void lead_in(int layer, std::span<const SequenceBatch> batches, std::span<const at::Tensor> streams,
               const BatchProgress& meter) const;

  /// Throws Error(unsupported) unless the hidden states that this layer gave are finite.
  /// @param place  its number in the model
  void require_finite_hidden(const at::Tensor& hidden, int place) const;

  /// What run() applies after the last layer.
  [[nodiscard]] at::Tensor final_norm(const at::Tensor& hidden) const;

  /// Reads the output matrix, which stays in memory from then on.
  void load_head();

  /// (rows, vocabulary), float32. After load_head().
  [[nodiscard]] at::Tensor logits(const at::Tensor& hidden) const;

  [[nodiscard]] LayerWeights load(int layer) const;
  /// The layers without heads that lead_in() goes through.
  [[nodiscard]] std::vector<LayerWeights> load_mixers(int layer) const;
  [[nodiscard]] AttentionOptions attention_options(const LayerWeights& weights, int layer) const;
  /// A layer's own of the rotary embeddings.
  [[nodiscard]] const RotaryTable::Rows& rotary_of(const RotaryRows& rows, int layer) const {
    return rows[static_cast<std::size_t>(spec_.attention_of(layer).rotary)];
  }

 private:
  [[nodiscard]] const std::vector<int>& mixers_before(int layer) const {
    return mixers_before_[static_cast<std::size_t>(layer)];
  }
  [[nodiscard]] at::Tensor position_rows(std::span<const std::int64_t> positions) const;

  const Model* model_;
  Runtime runtime_;
  ForwardSpec spec_;
  const TensorView *embedding_, *positions_ = nullptr;  ///< no positions_: none were learned
  NormWeights final_norm_, embedding_norm_;             ///< of which the second may be undefined
  std::vector<std::vector<int>> mixers_before_;  ///< each layer with heads, and behind the last: numbers in the model
  Linear head_;
};

}  // namespace qcqa
