#include "qcqa/fitness/merge_method.hpp"

#include <algorithm>
#include <array>

namespace qcqa {

std::span<const MergeMethod* const> merge_methods() noexcept {
  static constexpr std::array kMethods = {&kMeanMerge,     &kFirstMerge, &kWeightedMerge,   &kAlignedMerge,
                                          &kSubspaceMerge, &kRefitMerge, &kReconstructMerge};
  return kMethods;
}

const MergeMethod& merge_method(MergeKind kind) noexcept {
  return **std::ranges::find(merge_methods(), kind, &MergeMethod::kind);
}

std::string_view merge_kind_name(MergeKind kind) noexcept { return merge_method(kind).name; }

}  // namespace qcqa
