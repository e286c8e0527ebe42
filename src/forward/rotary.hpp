#pragma once

#include <vector>

#include "forward/rotary_spec.hpp"
#include "forward/runtime.hpp"

namespace qcqa {

/// Cosines and sines of every position up to a length.
class RotaryTable {
 public:
  /// @throws Error(unsupported) when sequences of this length need frequencies that depend on it
  RotaryTable(const RotarySpec& spec, std::int64_t length, const Runtime& runtime);

  struct Rows {
    at::Tensor cosines, sines;  ///< (tokens, dim / 2), the type that is computed in; undefined: nothing is rotated
    bool neighbours = false;    ///< see RotarySpec
    at::Tensor query_scale{};   ///< (tokens, 1), of queries alone; undefined: 1
  };
  /// For tokens at these positions, each of a sequence of such a length in the end.
  [[nodiscard]] Rows rows(const std::vector<std::int64_t>& positions,
                          const std::vector<std::int64_t>& sequence_lengths) const;

 private:
  std::int64_t length_;
  std::int64_t switch_length_;  ///< sequences longer than this use the second half of the tables
  bool neighbours_;
  at::Tensor cosines_, sines_;
  at::Tensor query_scales_;  ///< (length, 1); undefined: 1
};

/// Rows of every rotary embedding that a model's layers have, by LayerRotary.
using RotaryRows = std::array<RotaryTable::Rows, kLayerRotaries>;

/// The tables of all of them.
class RotaryTables {
 public:
  /// @throws as RotaryTable
  RotaryTables(const RotarySpecs& specs, std::int64_t length, const Runtime& runtime);

  /// See RotaryTable::rows.
  [[nodiscard]] RotaryRows rows(const std::vector<std::int64_t>& positions,
                                const std::vector<std::int64_t>& sequence_lengths) const;

 private:
  std::array<std::optional<RotaryTable>, kLayerRotaries> tables_;
};

/// Rotates every head of every row; gives them back as they are where nothing is rotated.
/// @param heads  (tokens, heads, head_dim)  @returns the same shape
[[nodiscard]] at::Tensor apply_rotary(const at::Tensor& heads, const RotaryTable::Rows& table);

}  // namespace qcqa
