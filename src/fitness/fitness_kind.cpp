#include "qcqa/fitness/fitness_kind.hpp"

#include <algorithm>
#include <array>

namespace qcqa {
namespace {

constexpr std::array<FitnessInfo, 4> kRows = {{
    {FitnessKind::wse, "wse", "squared error of mean-pooled weights, as the paper"},
    {FitnessKind::aligned, "aligned", "output error of the aligned merge"},
    {FitnessKind::subspace, "subspace", "output error of the subspace merge; better with --calibrate"},
    {FitnessKind::measured, "measured",
     "as subspace, but between layers what each grouping leaves of a converted model's predictions; needs --calibrate"},
}};

}  // namespace

std::span<const FitnessInfo> fitness_infos() noexcept { return kRows; }

std::string_view fitness_name(FitnessKind kind) noexcept {
  return std::ranges::find(kRows, kind, &FitnessInfo::kind)->name;
}

std::string fitness_unit(FitnessKind kind, bool calibrated) {
  if (kind == FitnessKind::wse) return "sum of squared errors of the weights";
  if (kind == FitnessKind::measured)
    return "sum over layers of what one adds to the KL divergence of the converted model, nats per token";
  return calibrated ? "squared error of the attention output, as a share of the residual stream's square"
                    : "squared error of the attention output for inputs of any direction";
}

}  // namespace qcqa
