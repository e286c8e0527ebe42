#pragma once

#include <cstdint>

#include "merge/fitting.hpp"
#include "qcqa/merge/estimate.hpp"
#include "qcqa/merge/merge.hpp"

namespace qcqa {

// The work of a merge by parts. Its unit is one pass of one token through one layer; nearly all of the time goes into
// such passes, so that estimates and progress count by them.

/// Second moments of a calibration text, per token.
inline constexpr std::int64_t kPassesForMoments = 2;

/// What steps take.
struct StepCosts {
  /// Per token of a step: gradients are two passes more, the optimizer goes over all weights. ModelSpeed has what was
  /// measured.
  double passes = ModelSpeed{}.step_passes;
  int judgements = Judgements{}.count;  ///< looks at held-back tokens, beside one before the first step
};

/// Entries of all tensors but the embedding and the output matrix.
[[nodiscard]] std::uint64_t layer_parameters(const Model& model);

/// Those of the output matrix, which are as many as the embedding's.
[[nodiscard]] std::uint64_t head_entries(const Model& model);

/// Entries of the layers that a fit of this scope changes.
[[nodiscard]] std::uint64_t fitted_parameters(const Model& model, ReconstructScope scope);

/// Memory that distillation needs of all layers: weights, and of those that are fitted the ones kept, two moments,
/// gradients of two batches and their sum.
[[nodiscard]] std::uint64_t distillation_bytes(const Model& model, ReconstructScope scope);
/// What is kept for the gradients of a step, roughly: what each operator reads. Of the stream and its norms 10 numbers
/// for every entry, of queries, keys and values 3, of attention 3 for every token that is attended to, of the MLP 4;
/// logits twice for both models.
[[nodiscard]] std::uint64_t activation_bytes(const Model& model, std::int64_t tokens);
/// Whether what a step computes on the way to its loss fits beside these into the memory allowed; else layers are run
/// again for their gradients.
[[nodiscard]] bool keeps_activations(const Model& model, const MergeOptions& options);
/// Bytes on the disk of what distillation makes of so many entries, and of what it goes on from.
[[nodiscard]] std::uint64_t distillation_disk_bytes(const Model& model, std::uint64_t entries);
/// Whether distillation is asked for, and its layers fit into the memory allowed.
[[nodiscard]] bool fits_distillation(const Model& model, const MergeOptions& options);

/// Of so many calibration tokens, how many each layer is fitted on: a part of them where nothing but the closed form
/// comes before distillation, which makes up for the rest.
[[nodiscard]] std::int64_t fitted_tokens(const Model& model, const MergeOptions& options, std::int64_t tokens);

/// Distillation looks at one position in this many: logits cost more than all layers of a small model.
[[nodiscard]] std::int64_t distill_stride(const Model& model);

/// Fitting one layer on so many tokens in closed form: both streams, second moments, least squares for the output
/// projection and the MLP's last one, errors.
[[nodiscard]] std::int64_t work_to_refit(const Model& model, const MergeOptions& options, std::int64_t tokens);
/// What MeasuredCosts takes of all layers, and converting the model that they are measured in.
[[nodiscard]] std::int64_t work_to_measure(const Model& model, const MergeOptions& options);
/// The steps that follow a fit in closed form.
[[nodiscard]] std::int64_t work_of_steps(const MergeOptions& options, std::int64_t tokens, const StepCosts& costs = {});
/// A fit in closed form and its steps.
[[nodiscard]] std::int64_t work_per_layer(const Model& model, const MergeOptions& options, std::int64_t tokens,
                                          const StepCosts& costs = {});
/// What distillation needs of the original first, for all layers.
[[nodiscard]] std::int64_t work_to_distill(const Model& model, std::int64_t tokens);
/// Its steps.
[[nodiscard]] std::int64_t work_of_distill_steps(const Model& model, const MergeOptions& options, std::int64_t tokens,
                                                 const StepCosts& costs = {});
/// Both; 0 where nothing is distilled.
[[nodiscard]] std::int64_t distillation_work(const Model& model, const MergeOptions& options, std::int64_t tokens,
                                             const StepCosts& costs = {});
/// All of a merge's.
[[nodiscard]] std::int64_t merge_work(const Model& model, const MergeOptions& options, std::int64_t tokens,
                                      const StepCosts& costs = {});

}  // namespace qcqa
