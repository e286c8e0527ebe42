#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "merge/distill_state.hpp"
#include "model/attention_weights.hpp"
#include "qcqa/merge/merge.hpp"

namespace qcqa {

/// The merged tensors of finished layers, in a folder: one small checkpoint per layer, whole or not there.
class MergeState {
 public:
  /// @throws Error(invalid_argument) naming what differs when the folder belongs to another model, plan, calibration or
  ///         options
  MergeState(const Model& model, const Plan& plan, std::span<const TokenSequence> calibration,
             const MergeOptions& options, std::filesystem::path folder);

  [[nodiscard]] bool has_layers() const;  ///< all of them

  /// Of all layers, once they are finished.
  [[nodiscard]] DistillState distillation() const { return DistillState(folder_); }

  [[nodiscard]] bool is_finished(int layer) const;
  void finish(int layer, const std::vector<TensorBytes>& tensors, const MergedLayer& summary);

  /// The model with one finished layer's tensors; it lives as long as this.
  [[nodiscard]] const Model& model_with(int layer);
  /// With those of all layers, distilled if they were.
  [[nodiscard]] Model merged_model() const;
  [[nodiscard]] std::vector<MergedLayer> layers() const;

 private:
  [[nodiscard]] std::filesystem::path layer_folder(int layer) const;

  const Model* model_;
  std::filesystem::path folder_;
  std::optional<Model> with_layer_;
};

}  // namespace qcqa
