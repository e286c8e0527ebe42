#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "qcqa/fitness/merge_method.hpp"
#include "qcqa/forward/forward_options.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/plan/plan.hpp"
#include "qcqa/statistics/input_statistics.hpp"
#include "qcqa/support/progress.hpp"
#include "qcqa/text/token_sequences.hpp"

namespace qcqa {

/// What reconstruction may change.
enum class ReconstructScope {
  attention,  ///< queries, keys, values and the output projection; all else stays byte for byte
  block,      ///< the layer: the MLP and all norms but the attention's too
};

/// What can be changed of this model: a layer with a mixture of experts keeps all but its attention.
[[nodiscard]] ReconstructScope widest_scope(const Model& model);
/// @param option  for the message
/// @throws Error(unsupported) for a wider one
void require_scope(const Model& model, ReconstructScope scope, const std::string& option = "--reconstruct");

struct ReconstructOptions {
  ReconstructScope scope = ReconstructScope::block;
  int steps = 2300;                ///< per layer, >= 0; 0 stops after the output projection was refitted
  std::int64_t step_tokens = 512;  ///< calibration tokens per step at most, unless one batch has more
  double learning_rate = 0.03;     ///< of the first steps, as a share of a weight's root mean square; falls to 0
  int distill_steps = 400;         ///< after that, of all layers at once to the original's predictions, >= 0
  /// As learning_rate. Nothing: see rate_to_distill().
  std::optional<double> distill_rate{};

  /// @param divergence  of the predictions from the original's (KL, nats) before the first step: the further they are
  ///                    off, the longer the steps that pay
  [[nodiscard]] double rate_to_distill(double divergence) const;
};

/// How a merge is made. ReconstructOptions' steps are those of methods that take steps (MergeMethod::takes_steps).
struct MergeOptions {
  MergeKind kind = MergeKind::mean;
  ReconstructOptions reconstruct{};
  std::uint64_t seed = 0;  ///< of the order of calibration tokens
  /// Bytes of activations in memory; more go to a file in the scratch folder. Distillation is left out where the
  /// layers, their gradients and moments need more than this.
  std::uint64_t memory = std::uint64_t{6} << 30;
  ForwardOptions forward{};
};

/// The options with no steps where the method takes none.
[[nodiscard]] MergeOptions in_effect(const MergeOptions& options);

/// How far a layer's output is from the original's on calibration tokens that its fitting never saw: square error as a
/// share of the output's square, mean over tokens.
struct MergedLayer {
  int layer = 0;
  double subspace_error = 0;    ///< after merging alone
  double refit_error = 0;       ///< and refitting what follows the heads
  double error = 0;             ///< in the end
  double sink_error = 0;        ///< in the end, mean over sinks alone: first tokens and massive activations
  double sink_mass_before = 0;  ///< share of the others' attention that goes to sinks, in the original
  double sink_mass = 0;         ///< and in the end
  int steps = 0;                ///< whose result was kept
};

/// How far the predictions are from the original's on calibration tokens that no fitting saw: mean KL divergence, in
/// nats.
struct Distillation {
  double before = 0;
  double after = 0;
  int steps = 0;  ///< whose result was kept; 0: none was better
};

/// One of several ways to merge the same plan.
struct ComparedMerge {
  std::string name;  ///< "original", or the kind
  double perplexity = 0;
};

/// What the original and ever better merges of a plan come to, on the same tokens that none of them saw. Nothing but
/// its emptiness may be asked of an empty one.
struct MergeLadder {
  std::vector<ComparedMerge> rungs{};  ///< the original first, the chosen merge last; empty when not looked at
  std::int64_t tokens = 0;             ///< predicted

  [[nodiscard]] std::span<const ComparedMerge> merges() const { return std::span(rungs).subspan(1); }
  /// The merge of the least perplexity; of equals the simplest.
  [[nodiscard]] const ComparedMerge& best() const;
  /// How much more cross-entropy than the original, in nats.
  [[nodiscard]] double nats_above(const ComparedMerge& merge) const;
};

/// What a merge did, for the report.
struct MergeSummary {
  MergeKind kind{};
  std::int64_t calibration_tokens = 0;
  bool keys_pooled = false;           ///< normalised keys: they were pooled by direction, as no other freedom is exact
  std::vector<MergedLayer> layers{};  ///< of reconstruct
  std::optional<Distillation> distillation{};
  double seconds = 0;
  MergeLadder ladder{};  ///< what other ways would have given
};

struct MergeResult {
  Model model;  ///< the original with its merged tensors: same shapes, the heads of a group equal
  MergeSummary summary;
};

/// Merges the heads of a plan. Means are a view of the original; what has to be computed is, layer by layer: one
/// layer's weights and the calibration tokens' activations are in memory, finished layers stay in `scratch`, from where
/// a later call with the same arguments goes on; who calls removes it.
/// @param calibration  sequences of token ids; may be empty unless the method needs a text
/// @param statistics   of the calibration, if they are at hand; nullptr: they are made, and kept in `scratch`
/// @throws Error(invalid_argument) without calibration where it is needed; Error(unsupported) when the family's forward
///         pass is not known (and is needed); Error(interrupted); Error(io)
[[nodiscard]] MergeResult merge_model(const Model& model, const Plan& plan, std::span<const TokenSequence> calibration,
                                      const MergeOptions& options, const std::filesystem::path& scratch,
                                      const ProgressFn& progress = {}, InputStatistics* statistics = nullptr);

}  // namespace qcqa
