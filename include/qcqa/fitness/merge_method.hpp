#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "qcqa/fitness/fitness_kind.hpp"
#include "qcqa/fitness/group_cost.hpp"

namespace qcqa {

struct HeadBlocks;
struct GroupSharing;

/// How the heads of a group become one.
enum class MergeKind { mean, first, weighted, aligned, subspace, refit, reconstruct };

/// What a merge makes of a calibration text, which has to go through the model: that takes the family's forward pass.
enum class TextUse { none, helps, needed };

/// The heads whose plain mean the shared head is, if it is one: then nothing has to be computed before it is read.
enum class Pooled { no, all, first };

/// All that is known of a way to merge, in one row; its file is src/fitness/merge_NAME.cpp.
struct MergeMethod {
  MergeKind kind{};
  std::string_view name;
  std::string_view help;
  std::string_view sentence;  ///< of model cards, after "the key and value heads of each group became one."
  TextUse text{};
  Pooled pooled = Pooled::no;
  /// Layer by layer, what the merge changed is then fitted to the original's activations, and whatever else
  /// ReconstructScope allows.
  bool is_fitted = false;
  bool takes_steps = false;  ///< the fit goes on by gradients: ReconstructOptions' steps
  FitnessKind fitness{};     ///< what a search minimises for it
  /// @param members  KV heads, ascending, not empty
  GroupSharing (*share)(const HeadBlocks& blocks, std::span<const std::uint8_t> members) = nullptr;
  /// What share() loses, where that is known without it; or nullptr.
  CostParts (*loss)(const HeadBlocks& blocks, std::span<const std::uint8_t> members) = nullptr;
};

extern const MergeMethod kMeanMerge, kFirstMerge, kWeightedMerge, kAlignedMerge, kSubspaceMerge, kRefitMerge,
    kReconstructMerge;

/// From the simplest to the best.
[[nodiscard]] std::span<const MergeMethod* const> merge_methods() noexcept;
[[nodiscard]] const MergeMethod& merge_method(MergeKind kind) noexcept;
/// "mean", "first", ...
[[nodiscard]] std::string_view merge_kind_name(MergeKind kind) noexcept;

}  // namespace qcqa
