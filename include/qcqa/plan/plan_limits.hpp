#pragma once

namespace qcqa {

/// What a runtime or a layout asks of a plan.
struct PlanLimits {
  bool equal_groups = false;     ///< the groups of a layer are of one size
  bool one_group_count = false;  ///< all layers have the same number of groups
  bool contiguous = false;       ///< of `equal_groups`: the heads of a group are neighbours
  bool divisors =
      false;  ///< group counts divide the number of KV heads, so that one number of query heads suits all layers
  /// Devices that a runtime spreads heads over (tensor parallelism). Group counts are multiples of it, or divisors with
  /// equal groups: then it divides the query heads, those that fill up unequal groups included, as the model's own.
  int tensor_parallel = 1;

  /// What stock GQA classes express: one number of equal groups for all layers.
  [[nodiscard]] static constexpr PlanLimits uniform() { return {.equal_groups = true, .one_group_count = true}; }
  [[nodiscard]] constexpr bool is_uniform() const { return equal_groups && one_group_count; }

  /// Whether a layer may have so many groups. @param equal  of one size
  [[nodiscard]] constexpr bool allows(int groups, int heads, bool equal) const {
    return (!divisors || heads % groups == 0) &&
           (groups % tensor_parallel == 0 || (equal && tensor_parallel % groups == 0));
  }

  friend constexpr bool operator==(const PlanLimits&, const PlanLimits&) = default;
};

}  // namespace qcqa
