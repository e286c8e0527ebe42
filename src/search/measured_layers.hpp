#pragma once

#include <vector>

#include "checkpoint/json_view.hpp"
#include "qcqa/search/model_search.hpp"

namespace qcqa {

/// What a GroupingCosts says of the groupings that stage 1 found, layer by layer. Which groupings it is asked about
/// follows from stage 1, so that costs alone are kept.
class MeasuredLayers {
 public:
  /// @param fronts  of stage 1
  explicit MeasuredLayers(std::vector<LayerFront> fronts);

  [[nodiscard]] bool finished() const noexcept { return costs_.size() == fronts_.size(); }
  /// Asks about the next layer. @throws what the measure does; Error(unsupported) when its costs are none
  void measure_next(const GroupingCosts& measure);
  /// Stage 1's groupings, those of measured layers at the measure's costs: a class is no worse than a narrower one
  /// again, keys and values share a cost as they shared the old one, and there are no bounds but that nothing costs
  /// less than 0.
  [[nodiscard]] std::vector<LayerFront> fronts() const;

  /// One array of costs per measured layer.
  [[nodiscard]] nlohmann::json save() const;
  /// This must not have measured. @throws Error(corrupt)
  void restore(const JsonView& saved);

 private:
  std::vector<LayerFront> fronts_;
  std::vector<std::vector<Grouping>> groupings_;  // per layer, what is asked about
  std::vector<std::vector<double>> costs_;        // of the layers measured, which are the first ones
};

}  // namespace qcqa
