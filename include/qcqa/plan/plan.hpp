#pragma once

#include <string>
#include <vector>

#include "qcqa/plan/grouping.hpp"

namespace qcqa {

/// What becomes of one layer's KV heads.
struct LayerPlan {
  Grouping grouping;
  int kv_source = 0;  ///< the layer whose KV cache it reads: its own, until layers can share
};

/// What a conversion will do, layer by layer, and where that came from.
struct Plan {
  std::vector<LayerPlan> layers;
  double cost = 0;       ///< in the unit of the fitness that chose it
  std::string origin{};  ///< "report point 12", "3 contiguous groups per layer"

  /// One grouping per layer, each with a cache of its own.
  [[nodiscard]] static Plan of(const std::vector<Grouping>& groupings, double cost = 0, std::string origin = {});

  [[nodiscard]] const Grouping& grouping(int layer) const { return layers[static_cast<std::size_t>(layer)].grouping; }

  /// Sum of group counts.
  [[nodiscard]] int kv_heads() const;
  /// Every layer has equal groups and the same group count: what stock GQA runtimes express.
  [[nodiscard]] bool is_uniform() const;
  [[nodiscard]] bool has_one_group_count() const;
  [[nodiscard]] bool is_identity() const;
  /// Whether every layer reads its own cache.
  [[nodiscard]] bool has_own_caches() const;
};

}  // namespace qcqa
