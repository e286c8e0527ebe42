#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "merge/distillation.hpp"
#include "model/attention_weights.hpp"
#include "qcqa/merge/merge.hpp"

namespace qcqa {

/// Where a distillation stands, and what it came to, in a folder.
class DistillState {
 public:
  explicit DistillState(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// What it came to; nothing before finish().
  [[nodiscard]] std::optional<Distillation> result() const;
  void finish(const std::vector<TensorBytes>& tensors, const Distillation& result) const;
  /// The model with the distilled tensors, or as it is before finish().
  [[nodiscard]] Model applied_to(const Model& model) const;

  /// Where it stands before it is finished.
  [[nodiscard]] DistillCheckpoints checkpoints() const;

 private:
  [[nodiscard]] std::filesystem::path distilled() const { return folder_ / "distilled"; }
  [[nodiscard]] std::filesystem::path distilling() const { return folder_ / "distilling"; }

  std::filesystem::path folder_;
};

}  // namespace qcqa
