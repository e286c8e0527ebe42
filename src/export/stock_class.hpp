#pragma once

#include <string>
#include <utility>
#include <vector>

#include "qcqa/model/model.hpp"

namespace qcqa {

/// The model class that holds a model whose groups are padded with zero query heads, exactly. Runtimes must read
/// head_dim for that, and transformers refuses some head counts, so it is not always the input's own class.
struct StockClass {
  const Architecture* architecture = nullptr;        ///< the class's family
  std::vector<std::pair<std::string, bool>> biases;  ///< what its config.json says of them; of another than the input's
  bool needs_output_bias = false;  ///< the class has a bias in the output projection; the input has none
  int group_places = 0;            ///< query heads per group
};

/// @param groups        KV heads, one count for all layers
/// @param group_places  query heads of the largest group of the model
/// @throws Error(unsupported) when no class fits
[[nodiscard]] StockClass stock_class(const Model& model, int groups, int group_places);

/// Whether the input's class takes the size of a head from head_dim, which padding needs.
[[nodiscard]] bool reads_head_dim(const Model& model);

/// Makes config.json that of the class. Head counts are the caller's.
void rewrite_config(const StockClass& stock, const Model& model, nlohmann::ordered_json& config);

}  // namespace qcqa
