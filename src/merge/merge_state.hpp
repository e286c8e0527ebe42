#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "merge/distillation.hpp"
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

  /// What distillation came to; none before finish() of all layers.
  [[nodiscard]] std::optional<Distillation> distillation() const;
  void finish(const std::vector<TensorBytes>& tensors, const Distillation& summary);
  /// Where a distillation stands before it is finished.
  [[nodiscard]] DistillCheckpoints distill_checkpoints() const;

  [[nodiscard]] bool is_finished(int layer) const;
  void finish(int layer, const std::vector<TensorBytes>& tensors, const MergedLayer& summary);

  /// The model with one finished layer's tensors; it lives as long as this.
  [[nodiscard]] const Model& model_with(int layer);
  /// With those of all layers, distilled if they were.
  [[nodiscard]] Model merged_model() const;
  [[nodiscard]] std::vector<MergedLayer> layers() const;

 private:
  [[nodiscard]] std::filesystem::path layer_folder(int layer) const;
  [[nodiscard]] std::filesystem::path distilled_folder() const;
  [[nodiscard]] std::filesystem::path distilling_folder() const;

  const Model* model_;
  std::filesystem::path folder_;
  std::optional<Model> with_layer_;
};

}  // namespace qcqa
