#pragma once

#include <vector>

#include "qcqa/export/export.hpp"

namespace qcqa {

/// head_dim rows of an output projection: the mean of these heads' rows.
struct RowSource {
  HeadRole role{};
  std::vector<std::uint8_t> kv_members;  ///< for keys and values
  int query_head = 0;                    ///< for queries
};

/// One tensor of the output and how its bytes come about.
struct OutputTensor {
  enum class Kind {
    copy,     ///< as in the input (the type may change)
    heads,    ///< rows (or bias elements) gathered head by head
    columns,  ///< output projection with its blocks of head_dim columns reordered
  };
  TensorSpec spec;
  const TensorView* source = nullptr;
  Kind kind = Kind::copy;
  const AttentionLayer* layer = nullptr;  ///< Kind::heads and Kind::columns
  bool bias = false;                      ///< Kind::heads: of a bias
  std::vector<RowSource> rows;            ///< Kind::heads, in order
  std::vector<int> column_order;          ///< Kind::columns: the query head at each place
};

/// Every tensor of the converted checkpoint, in the order of the input.
[[nodiscard]] std::vector<OutputTensor> plan_output_tensors(const Model& model, const Plan& plan, const ExportOptions& options);

/// The query head at each place after conversion: those of the first group, then of the second, ...
[[nodiscard]] std::vector<int> query_head_order(const AttentionLayer& layer, const Grouping& grouping);

}  // namespace qcqa
