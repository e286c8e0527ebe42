#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <optional>

#include "qcqa/statistics/input_statistics.hpp"
#include "statistics/layer_runner.hpp"

namespace qcqa {

/// See InputStatistics.
class InputStatistics::Layers {
 public:
  explicit Layers(const Model& model) : model_(model) {}
  Layers(const Model& model, std::span<const TokenSequence> calibration, const ForwardOptions& options,
         std::filesystem::path folder, std::uint64_t memory, ProgressFn progress);

  [[nodiscard]] bool calibrated() const noexcept { return !sequences_.empty(); }

  /// Mean of x x^T over tokens, x the input of the layer's attention, with a 1 below it where there are biases.
  /// @param inputs  hidden_size, or one more where there are biases
  /// @returns (inputs, inputs) float64 on the CPU
  /// @throws Error(unsupported) when the family's forward pass is not known and there is a text; Error(interrupted)
  [[nodiscard]] at::Tensor second_moment(int layer, std::int64_t inputs);

  /// What a square error is a share of, so that its mean is about that of every token's share: the harmonic mean over
  /// tokens of the square of the residual stream after the layer; 1 without a text.
  [[nodiscard]] double residual_square(int layer, std::int64_t inputs);

 private:
  struct Found {
    at::Tensor moment;
    double residual_square = 1;
  };

  [[nodiscard]] const Found& find(int layer, std::int64_t inputs);
  [[nodiscard]] std::filesystem::path file_of(int layer) const;
  [[nodiscard]] Found read(int layer, std::int64_t inputs) const;
  void keep(int layer, const Found& found) const;
  [[nodiscard]] Found look_at(int layer, std::int64_t inputs);
  void stand_before(int layer);
  void lead_in();
  void advance(const LayerWeights& weights, int layer);

  const Model& model_;
  std::vector<TokenSequence> sequences_;
  ForwardOptions options_{};
  std::filesystem::path folder_{};
  std::uint64_t memory_ = 0;
  ProgressFn progress_{};
  std::optional<Transformer> transformer_{};
  std::optional<LayerRunner> runner_{};
  at::Tensor hidden_{};     ///< (tokens, hidden_size): what goes into layer `next_`
  int next_ = -1;           ///< -1: into none, they have to begin again
  bool is_led_in_ = false;  ///< through the layers without heads before it
  Found last_{};
  int last_layer_ = -1;  ///< whose last_ is
};

}  // namespace qcqa
