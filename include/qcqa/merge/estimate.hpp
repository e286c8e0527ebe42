#pragma once

#include <cstdint>

#include "qcqa/merge/merge.hpp"

namespace qcqa {

/// How fast a model runs on a device: seconds for one of many tokens.
struct ModelSpeed {
  double layers = 0;  ///< through all layers
  double head = 0;    ///< logits
  /// What a token of a step that fits a layer takes, in times of its way through the layer.
  double step_passes = 4;
};

/// For how long a speed is measured before hours are planned with it.
inline constexpr double kMeasuringSeconds = 0.3;

/// Tokens of a calibration sequence: shorter ones cost less attention, longer ones show the model more.
inline constexpr std::int64_t kCalibrationContext = 512;
/// The same for a model that was made for shorter ones.
/// @throws Error(unsupported) when the family's forward pass is not known
[[nodiscard]] std::int64_t calibration_context(const Model& model);
/// How many of them are made up together, at most: their keys and values are kept until they end.
[[nodiscard]] std::int64_t sampled_together(const Model& model);

/// Runs the first layer over a few tokens, and takes a few steps with it where there is time for one.
/// @param seconds  for how long: the more, the less it matters what else the machine does
/// @throws Error(unsupported) when the family's forward pass is not known
[[nodiscard]] ModelSpeed measure_speed(const Model& model, const ForwardOptions& options,
                                       double seconds = kMeasuringSeconds);

/// Seconds that a merge of this model would take, roughly.
/// @param tokens   of calibration in all
/// @param sampled  how many of them the model still has to make up
[[nodiscard]] double estimate_merge_seconds(const Model& model, const ModelSpeed& speed, const MergeOptions& options,
                                            std::int64_t tokens, std::int64_t sampled);

/// Seconds to make up so many tokens, roughly.
[[nodiscard]] double estimate_sampling_seconds(const Model& model, const ModelSpeed& speed, std::int64_t sampled);

/// Seconds to measure all layers for a search, see MeasuredCosts, roughly.
[[nodiscard]] double estimate_measuring_seconds(const Model& model, const ModelSpeed& speed,
                                                const MergeOptions& options);

/// Bytes of memory beside the mapped checkpoint that the largest step of merge_model() takes, roughly, and of what
/// comes before it: making up text.
/// @param tokens, sampled  as above
[[nodiscard]] std::uint64_t merge_memory_bytes(const Model& model, const MergeOptions& options, std::int64_t tokens,
                                               std::int64_t sampled);

/// Bytes that merge_model() writes into its scratch folder at most: merged tensors, distilled ones, statistics of the
/// calibration, activations that do not fit into memory.
/// @param tokens  of calibration
[[nodiscard]] std::uint64_t merge_disk_bytes(const Model& model, const MergeOptions& options, std::int64_t tokens);

}  // namespace qcqa
