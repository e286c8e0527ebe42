#include "qcqa/fitness/merge_kind.hpp"

namespace qcqa {

std::string_view merge_kind_name(MergeKind kind) noexcept {
  switch (kind) {
    case MergeKind::mean:
      return "mean";
    case MergeKind::first:
      return "first";
    case MergeKind::weighted:
      return "weighted";
    case MergeKind::aligned:
      return "aligned";
    case MergeKind::subspace:
      return "subspace";
    case MergeKind::reconstruct:
      return "reconstruct";
  }
  return "?";
}

}  // namespace qcqa
