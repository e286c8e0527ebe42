#pragma once

#include <CLI/CLI.hpp>

#include <optional>
#include <string>

#include "cli/calibration.hpp"
#include "cli/console.hpp"
#include "cli/flags.hpp"
#include "qcqa/merge/merge.hpp"

namespace qcqa::cli {

inline constexpr const char* kAutoMerge = "auto";

/// How heads are merged, as named on the command line.
struct MergeFlags {
  std::string merge = "mean";
  CalibrationFlags calibration;
  std::string reconstruct = "block";
  int steps = ReconstructOptions{}.steps;
  int distill_steps = ReconstructOptions{}.distill_steps;
  std::string memory = "4GiB";
  std::string time_limit = "1h";  ///< of --merge auto
  std::uint64_t seed = 0;

  /// @param with_auto  whether the kind may be left to choose_merge(), and is by default
  void add_to(CLI::App& command, bool with_auto);
  [[nodiscard]] bool is_auto() const { return merge == kAutoMerge; }
  /// Not for auto.
  /// @throws Error(invalid_argument)
  [[nodiscard]] MergeOptions resolve(const ForwardOptions& forward) const;
};

/// Where the layers of an interrupted merge are kept.
[[nodiscard]] std::filesystem::path merge_state_folder(const ExportFlags& output);

/// Merges the plan's heads and says what that took: for `mean` the model itself, because writing it pools; else the
/// model with merged tensors that lie in a folder beside `output` until the destructor removes it.
class MergeStep {
 public:
  /// @param output  where the model will be written; an interrupted merge leaves a folder with the ending .merge-state
  ///                beside it. With --dry-run nothing is merged
  /// @param resume  whether to go on with what an interrupted merge left there
  MergeStep(const Model& model, const Plan& plan, const TokenSequences& calibration, const MergeOptions& options,
            const ExportFlags& output, bool resume, Console& console);
  MergeStep(const MergeStep&) = delete;
  MergeStep& operator=(const MergeStep&) = delete;
  ~MergeStep();

  [[nodiscard]] const Model& model() const { return result_ ? result_->model : *original_; }
  /// A folder that goes with this object; empty when nothing had to be merged.
  [[nodiscard]] const std::filesystem::path& scratch() const noexcept { return folder_; }
  /// For the report.
  [[nodiscard]] MergeSummary summary() const { return result_ ? result_->summary : MergeSummary{}; }

 private:
  const Model* original_;
  std::filesystem::path folder_;
  std::optional<MergeResult> result_;
};

}  // namespace qcqa::cli
