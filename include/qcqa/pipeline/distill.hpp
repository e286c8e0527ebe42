#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "qcqa/merge/distill.hpp"
#include "qcqa/pipeline/session.hpp"
#include "qcqa/pipeline/settings.hpp"

namespace qcqa {

/// How a converted model is fitted on to its original, and what is written.
struct DistillSettings {
  ReconstructScope scope = ReconstructScope::block;
  /// Nothing: as many as time_limit has room for, see choose_distillation().
  std::optional<int> steps{};
  std::optional<double> rate{};                    ///< see DistillOptions
  double time_limit = 3600;                        ///< seconds
  std::uint64_t memory = DistillOptions{}.memory;  ///< see DistillOptions
  std::uint64_t seed = 0;                          ///< of everything random
  CalibrationSettings calibration{};               ///< kSelf: of the original; nothing given: the same
  ForwardOptions forward{};

  std::filesystem::path folder{};  ///< of the output
  Overwrite overwrite = Overwrite::refuse;
  bool dry_run = false;   ///< look, write nothing
  std::string command{};  ///< for the model card

  /// @param chosen  steps, where they are left open
  [[nodiscard]] DistillOptions options(int chosen) const;
};

/// Everything that a result follows from, by the name of the option that it is on the command line.
[[nodiscard]] nlohmann::ordered_json identity_of(const DistillSettings& settings);

/// Steps and tokens, and why.
struct DistillChoice {
  int steps = 0;
  std::int64_t tokens = 0;  ///< of each source of the calibration at most
  double seconds = 0;       ///< estimated; 0 where the steps were given and it is no dry run
  std::string reason{};
};

/// The steps asked for; or as many as the time limit has room for, with a part of the tokens where all of them would
/// leave too few. Measures how fast the original runs where there is something to choose or it is a dry run: two calls
/// may choose otherwise.
/// @throws Error(invalid_argument) when the time is too short for anything
[[nodiscard]] DistillChoice choose_distillation(const Model& model, const Model& original,
                                                const DistillSettings& settings);

/// A model beside its original, on tokens that no step saw.
struct Closeness {
  double kl = 0;             ///< mean KL divergence of the predictions, nats
  double cross_entropy = 0;  ///< nats per token
};

/// What a distillation came to.
struct DistillOutcome {
  Closeness before, after;
  double original_cross_entropy = 0;
  std::int64_t held_back_tokens = 0;    ///< predicted, that these were measured on
  std::int64_t tokens = 0;              ///< that steps were taken on
  int steps = 0;                        ///< whose result was kept
  double seconds = 0;                   ///< of this call
  std::vector<std::string> left_out{};  ///< files of the model's folder that are not in the output
  std::uint64_t file_bytes = 0;         ///< of the output

  /// Whether the predictions came nearer to the original's; nothing is written where they did not.
  [[nodiscard]] bool is_better() const noexcept { return steps > 0 && after.kl < before.kl; }
};

/// Fits a converted model on to its original and writes it into a folder of the same layout, with a line about what
/// that was worth, and kDistillFile. What is finished is kept in the session's state folder until all is done.
/// With DistillSettings::dry_run only the sizes of the outcome are set.
/// @throws Error(invalid_argument, unsupported, corrupt, not_found); Error(interrupted) after keeping what is finished;
///         Error(io)
DistillOutcome distill(const Model& model, const Model& original, DistillSettings settings, Session session);

/// What the model beside a report has gained since the report was written, in one sentence; empty where it was not
/// distilled. @throws Error(corrupt) where kDistillFile is damaged
[[nodiscard]] std::string distilled_since(const std::filesystem::path& report);

}  // namespace qcqa
