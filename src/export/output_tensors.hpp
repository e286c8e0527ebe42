#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "qcqa/export/export.hpp"

namespace qcqa {

/// Stands for a query head of zeros: its scores do not matter, since its columns of the output projection are zero too.
inline constexpr int kZeroHead = -1;

/// The heads of one layer as they will stand in the output, whatever tensors hold them.
struct LayerHeads {
  const AttentionLayer* layer = nullptr;
  std::vector<int> query;  ///< the query head at each place, or kZeroHead
  std::vector<int> kv;     ///< the KV head at each place
  [[nodiscard]] int query_heads() const { return static_cast<int>(query.size()); }
  [[nodiscard]] int kv_heads() const { return static_cast<int>(kv.size()); }
};

/// Whole rows of a tensor of the input; rows of zeros without one.
struct RowRange {
  const TensorView* source = nullptr;
  std::int64_t first = 0, count = 0;
};

/// What of a head its rows in a tensor are.
enum class HeadPart { weight, bias, norm, sink };

/// One tensor of the output and how its bytes come about.
struct OutputTensor {
  enum class Kind {
    copy,     ///< as `source` (the type may change)
    heads,    ///< rows (or bias elements) gathered head by head
    columns,  ///< `source` with its blocks of columns reordered, such as the output projection's of each head
    ranges,   ///< rows of several tensors, one after another
    values,   ///< numbers that are not in the input
  };
  TensorSpec spec;
  Kind kind = Kind::copy;
  const TensorView* source = nullptr;     ///< Kind::copy and Kind::columns
  const AttentionLayer* layer = nullptr;  ///< Kind::heads and Kind::columns
  HeadPart part = HeadPart::weight;       ///< Kind::heads
  std::vector<HeadSlot> rows;             ///< Kind::heads, the head of the input at each place; or kZeroHead
  /// Kind::heads: in every head, row 2i is the input's row i and row 2i + 1 its row i + head_dim/2, so that the two
  /// dimensions that a rotary embedding turns together are neighbours.
  bool rotary_neighbours = false;
  std::vector<int> column_order;  ///< Kind::columns: the query head (or block) at each place, or kZeroHead
  int column_block = 0;           ///< Kind::columns: columns of one place
  std::vector<RowRange> ranges;   ///< Kind::ranges
  std::vector<double> values;     ///< Kind::values
  /// The rows and columns of all this are written exchanged: spec.shape is (columns, rows). Formed whole in memory.
  bool transposed = false;

  [[nodiscard]] std::uint64_t byte_count() const;
};

[[nodiscard]] std::vector<TensorSpec> specs_of(std::span<const OutputTensor> tensors);

/// The query head at each place after conversion: those of the first group, then of the second, ...
[[nodiscard]] std::vector<int> query_head_order(const AttentionLayer& layer, const Grouping& grouping);

/// Query heads of the largest group.
[[nodiscard]] int largest_group(const AttentionLayer& layer, const Grouping& grouping);

/// One KV head per group, its first; every group has `group_places` query heads, filled up with zero heads.
[[nodiscard]] LayerHeads grouped_heads(const AttentionLayer& layer, const Grouping& grouping, int group_places);

/// The heads of the input at their places.
[[nodiscard]] LayerHeads expanded_heads(const AttentionLayer& layer);

/// Every tensor of the input in its order, under its name, with the attention tensors changed to hold these heads.
/// @param model  its heads of a group are equal
/// @param heads  one per layer
[[nodiscard]] std::vector<OutputTensor> replace_heads(const Model& model, std::span<const LayerHeads> heads,
                                                      std::optional<Dtype> dtype);

/// A projection tensor that holds the heads of these roles, all of one role before those of the next.
[[nodiscard]] OutputTensor gather_heads(std::string name, const LayerHeads& heads, std::span<const HeadRole> roles,
                                        bool bias, Dtype dtype);

/// The output projection (hidden_size, places * head_dim).
[[nodiscard]] OutputTensor gather_columns(std::string name, const LayerHeads& heads, Dtype dtype);

/// A tensor as it is, but for its name and type.
[[nodiscard]] OutputTensor copy_tensor(std::string name, const TensorView& source, Dtype dtype);

/// A matrix with columns of zeros after its own, up to `columns`.
[[nodiscard]] OutputTensor pad_columns(std::string name, const TensorView& source, std::int64_t columns, Dtype dtype);

/// Rows of tensors of the same width, one after another.
[[nodiscard]] OutputTensor gather_ranges(std::string name, std::vector<RowRange> ranges,
                                         std::vector<std::int64_t> shape, Dtype dtype);

}  // namespace qcqa
