#pragma once

#include <CLI/CLI.hpp>

#include <optional>
#include <string>

#include "cli/calibration.hpp"
#include "cli/console.hpp"
#include "cli/flags.hpp"
#include "qcqa/merge/merge.hpp"

namespace qcqa::cli {

/// How heads are merged, as named on the command line.
struct MergeFlags {
  std::string merge = "mean";
  CalibrationFlags calibration;
  std::string reconstruct = "block";
  int steps = ReconstructOptions{}.steps;
  std::string memory = "4GiB";
  std::uint64_t seed = 0;

  void add_to(CLI::App& command);
  /// @throws Error(invalid_argument)
  [[nodiscard]] MergeOptions resolve(const ForwardOptions& forward) const;
};

/// Merges the plan's heads and says what that took: for `mean` the model itself, because writing it pools; else the model
/// with merged tensors that lie in a folder beside `output` until the destructor removes it.
class MergeStep {
 public:
  /// @param output  where the model will be written; an interrupted merge leaves a folder with the ending .merge-state
  ///                beside it. With --dry-run nothing is merged
  MergeStep(const Model& model, const Plan& plan, const Calibration& calibration, const MergeOptions& options,
            const ExportFlags& output, Console& console);
  MergeStep(const MergeStep&) = delete;
  MergeStep& operator=(const MergeStep&) = delete;
  ~MergeStep();

  [[nodiscard]] const Model& model() const { return result_ ? result_->model : *original_; }
  /// For the report.
  [[nodiscard]] MergeSummary summary() const { return result_ ? result_->summary : MergeSummary{}; }

 private:
  const Model* original_;
  std::filesystem::path folder_;
  std::optional<MergeResult> result_;
};

}  // namespace qcqa::cli
