#include "fitness/merge_heads.hpp"

#include <ATen/ATen.h>

#include "fitness/group_sharing.hpp"

namespace qcqa {
namespace {

/// Rows of several heads, one head below the other.
at::Tensor stacked(const at::Tensor& heads, std::span<const std::uint8_t> members, std::int64_t first,
                   std::int64_t rows) {
  std::vector<at::Tensor> parts;
  for (const std::uint8_t head : members) parts.push_back(heads.select(0, head).narrow(0, first, rows));
  return at::cat(parts);
}

/// Of the basis of a head, where the shared rows are brought into it.
constexpr double kMostCondition = 100;

/// Shared rows span the same in any basis. This takes that of one of the heads, so that clamping finds what it found.
void take_basis_of_a_head(SharedRows& shared) {
  if (shared.combination.size(0) == 0) return;
  const at::Tensor sizes = at::linalg_svdvals(shared.coefficients);
  const at::Tensor conditions = sizes.select(-1, 0) / sizes.select(-1, -1);
  const auto best = conditions.argmin().item<std::int64_t>();
  if (!(conditions[best].item<double>() <= kMostCondition)) return;
  const at::Tensor basis = shared.coefficients[best].clone();
  shared.combination = at::mm(basis, shared.combination);
  shared.coefficients = at::matmul(shared.coefficients, at::linalg_inv(basis));
}

/// The same for each plane, of the head that weighs most in it.
void take_basis_of_a_head(SharedPlanes& shared) {
  const at::Tensor best = at::abs(shared.coefficients).argmax(1, true);
  const at::Tensor factors = at::gather(shared.coefficients, 1, best);
  const at::Tensor basis = at::where(at::abs(factors) > 0, factors, at::ones_like(factors));
  shared.combination = shared.combination * basis;
  shared.coefficients = shared.coefficients / basis;
}

void store_complex(const at::Tensor& rows, const at::Tensor& head, const KeyFreedom& freedom) {
  const auto [a, b] = planes_of(head, freedom);
  a.copy_(at::real(rows));
  b.copy_(at::imag(rows));
}

class Merger {
 public:
  Merger(const AttentionWeights& weights, const KeyFreedom& freedom)
      : source_(weights),
        merged_(weights),
        freedom_(freedom),
        rotary_(freedom.rotary_dim),
        rest_(weights.head_dim() - freedom.rotary_dim) {
    for (at::Tensor* part : {&merged_.query, &merged_.key, &merged_.value, &merged_.output}) *part = part->clone();
    if (merged_.key_norm.defined()) merged_.key_norm = merged_.key_norm.clone();
  }

  void merge(std::span<const std::uint8_t> members, const GroupSharing& sharing) {
    const at::Tensor value = at::mm(sharing.value.combination, stacked(source_.value, members, 0, source_.head_dim()));
    const at::Tensor rest = at::mm(sharing.rest.combination, stacked(source_.key, members, rotary_, rest_));
    const at::Tensor planes = shared_planes(members, sharing.planes);
    const at::Tensor norm = shared_norm(members, sharing.norm_shares);
    for (std::size_t i = 0; i < members.size(); ++i) {
      const auto index = static_cast<std::int64_t>(i);
      merged_.value.select(0, members[i]).copy_(value);
      merged_.key.select(0, members[i]).narrow(0, rotary_, rest_).copy_(rest);
      store_complex(planes, merged_.key.select(0, members[i]), freedom_);
      if (norm.defined()) merged_.key_norm.select(0, members[i]).copy_(norm);
      const std::int64_t per_head = source_.queries_per_kv_head();
      const at::Tensor output = merged_.output.narrow(0, members[i] * per_head, per_head);
      output.copy_(at::matmul(output, sharing.value.coefficients[index]));
      const at::Tensor query = merged_.query.narrow(0, members[i] * per_head, per_head);
      const at::Tensor free = query.narrow(1, rotary_, rest_);
      free.copy_(at::matmul(sharing.rest.coefficients[index].t(), free));
      const at::Tensor factors = sharing.planes.coefficients.select(1, index).conj().unsqueeze(1);
      store_complex(complex_planes(query, freedom_) * factors, query, freedom_);
    }
  }

  [[nodiscard]] const AttentionWeights& merged() const noexcept { return merged_; }

 private:
  [[nodiscard]] at::Tensor shared_planes(std::span<const std::uint8_t> members, const SharedPlanes& sharing) const {
    at::Tensor sum = at::zeros({rotary_ / 2, source_.inputs()}, at::kComplexDouble);
    for (std::size_t i = 0; i < members.size(); ++i) {
      const at::Tensor factors = sharing.combination.select(1, static_cast<std::int64_t>(i)).unsqueeze(1);
      sum += complex_planes(source_.key.select(0, members[i]), freedom_) * factors;
    }
    return sum;
  }

  /// Weights of a norm that each head has its own of.
  [[nodiscard]] at::Tensor shared_norm(std::span<const std::uint8_t> members, const at::Tensor& shares) const {
    if (!source_.key_norm.defined()) return {};
    at::Tensor sum = at::zeros({source_.head_dim()}, at::kDouble);
    for (std::size_t i = 0; i < members.size(); ++i)
      sum += source_.key_norm.select(0, members[i]) * shares[static_cast<std::int64_t>(i)];
    return sum;
  }

  const AttentionWeights& source_;
  AttentionWeights merged_;
  KeyFreedom freedom_;
  std::int64_t rotary_, rest_;
};

}  // namespace

AttentionWeights merge_heads(const AttentionWeights& weights, const Grouping& grouping, MergeKind kind,
                             const KeyFreedom& freedom, const at::Tensor& second_moment) {
  const HeadBlocks blocks = compute_head_blocks(weights, freedom, second_moment);
  Merger merger(weights, freedom);
  for (const auto& members : grouping.members()) {
    if (members.size() < 2) continue;
    GroupSharing sharing = merge_method(kind).share(blocks, members);
    if (freedom.clipped) {
      take_basis_of_a_head(sharing.value);
      take_basis_of_a_head(sharing.planes);
      take_basis_of_a_head(sharing.rest);
    }
    merger.merge(members, sharing);
  }
  return merger.merged();
}

}  // namespace qcqa
