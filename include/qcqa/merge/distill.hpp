#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

#include "qcqa/forward/forward_options.hpp"
#include "qcqa/merge/estimate.hpp"
#include "qcqa/merge/merge.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/support/progress.hpp"
#include "qcqa/text/token_sequences.hpp"

namespace qcqa {

/// How a model that was converted is fitted on to its original.
struct DistillOptions {
  ReconstructScope scope = ReconstructScope::block;
  int steps = 400;                 ///< of all layers together, >= 0
  std::int64_t step_tokens = 512;  ///< per step at most, unless one batch has more
  /// Of the first steps, as a share of a weight's root mean square; falls to 0. Nothing: by how far the predictions are
  /// from the original's, see ReconstructOptions::rate_to_distill().
  std::optional<double> rate{};
  std::uint64_t seed = 0;  ///< of the order of the tokens
  /// Bytes for the layers with their gradients and moments; activations beyond it go to a file in the scratch folder.
  std::uint64_t memory = MergeOptions{}.memory;
  ForwardOptions forward{};
};

struct DistillResult {
  Model model;  ///< the same tensors with what was fitted in them; KV heads of a layer that were equal still are
  Distillation distillation;
};

/// Fits all layers of a model together to another's predictions: Adam on the divergence (KL) of the next token's
/// distribution. What lies outside the layers stays. The weights that do best on some of the text, which is kept apart,
/// are kept; the fit ends early where that has not become better for long. What is finished stands in `scratch`, from
/// where a later call with the same arguments goes on; who calls removes it.
/// @param original  of the same vocabulary, hidden size and number of layers
/// @throws Error(invalid_argument) where it is not, where there is no text, or where the layers need more than the
///         memory; Error(unsupported) when a forward pass is not known; Error(interrupted); Error(io)
[[nodiscard]] DistillResult distill_model(const Model& model, const Model& original,
                                          std::span<const TokenSequence> text, const DistillOptions& options,
                                          const std::filesystem::path& scratch, const ProgressFn& progress = {});

/// What distill_model() would refuse, before there is a text. Touches no weight. @throws as distill_model
void require_distillable(const Model& model, const Model& original, const DistillOptions& options);

/// Seconds that it would take, roughly. @param speed  of either model  @param sampled  tokens still to be made up
[[nodiscard]] double estimate_distill_seconds(const Model& model, const ModelSpeed& speed,
                                              const DistillOptions& options, std::int64_t tokens, std::int64_t sampled);

/// Bytes that it writes into its scratch folder at most.
[[nodiscard]] std::uint64_t distill_disk_bytes(const Model& model, const DistillOptions& options, std::int64_t tokens);

}  // namespace qcqa
