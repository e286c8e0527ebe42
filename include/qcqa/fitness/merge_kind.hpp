#pragma once

#include <array>
#include <string_view>

namespace qcqa {

/// How the heads of a group become one.
enum class MergeKind {
  mean,      ///< mean pooling (GQA, arXiv 2305.13245, section 2.1)
  first,     ///< the group's first head (the same paper's ablation, section 3.3)
  weighted,  ///< mean weighted by the heads' norms
  aligned,   ///< bases aligned first, then the mean with norms restored (arXiv 2412.20677, section 3, without training)
  subspace,  ///< the best shared subspace, coefficients folded into queries and output
  reconstruct,  ///< subspace, then fitted to the original's activations layer by layer
};

inline constexpr std::array kMergeKinds = {MergeKind::mean,    MergeKind::first,    MergeKind::weighted,
                                           MergeKind::aligned, MergeKind::subspace, MergeKind::reconstruct};

/// "mean", "first", ...
[[nodiscard]] std::string_view merge_kind_name(MergeKind kind) noexcept;

}  // namespace qcqa
