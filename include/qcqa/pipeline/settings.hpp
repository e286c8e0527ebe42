#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "qcqa/export/export.hpp"
#include "qcqa/fitness/fitness_kind.hpp"
#include "qcqa/forward/forward_options.hpp"
#include "qcqa/merge/merge.hpp"
#include "qcqa/search/model_search.hpp"
#include "qcqa/support/device.hpp"
#include "qcqa/text/corpus.hpp"

namespace qcqa {

/// The calibration source that asks for text of the model's own.
inline constexpr const char* kSelf = "self";

/// Texts that show what heads do.
struct CalibrationSettings {
  std::vector<std::string> sources{};  ///< files, folders (see for_each_document) or kSelf
  std::int64_t tokens = 131072;        ///< of each source at most, >= 2
  TokenizerKind tokenizer{};

  [[nodiscard]] bool given() const noexcept { return !sources.empty(); }
  /// Whether text has to be made up.
  [[nodiscard]] bool samples() const;
  /// Made up, with so many tokens of each source.
  [[nodiscard]] std::int64_t sampled_tokens(std::int64_t of_each) const { return samples() ? of_each : 0; }
  /// Of all sources together, with so many of each; texts may be shorter.
  [[nodiscard]] std::int64_t all_tokens(std::int64_t of_each) const noexcept {
    return static_cast<std::int64_t>(sources.size()) * of_each;
  }
};

/// A text that a model predicts.
struct TextSettings {
  std::string text{};       ///< see for_each_document
  std::string token_ids{};  ///< in its place: see read_token_ids
  /// A context of 0: the model's positions, at most 2048.
  CorpusOptions corpus{.windows = {.context = 0}};
  TokenizerKind tokenizer{};

  [[nodiscard]] bool given() const noexcept { return !text.empty() || !token_ids.empty(); }
};

/// How heads are merged.
struct MergeSettings {
  /// Nothing: the best kind that fits into time_limit, see choose_merge().
  std::optional<MergeKind> kind{};
  ReconstructOptions reconstruct{};
  std::uint64_t memory = MergeOptions{}.memory;  ///< see MergeOptions
  double time_limit = 3600;                      ///< seconds, for comparing plans too

  /// @param chosen  in the place of `kind` where that is left open
  [[nodiscard]] MergeOptions options(MergeKind chosen, std::uint64_t seed, const ForwardOptions& forward) const;
};

/// What is written, and where.
struct OutputSettings {
  std::filesystem::path folder{};
  ExportOptions options{};         ///< the layout and format here unless `target` is given
  std::optional<Target> target{};  ///< the runtime to choose a layout for once the plan is known
  Overwrite overwrite = Overwrite::refuse;
  bool dry_run = false;  ///< look, write nothing

  /// The plans that a budget chooses from.
  [[nodiscard]] PlanLimits plans(const Model& model) const;
};

/// Where the plan comes from: the first of these that is given.
struct PlanSettings {
  std::filesystem::path report{};  ///< of a search of this model; then `point` or `kv`
  std::optional<int> point{};      ///< of the report's front
  std::optional<int> groups{};     ///< in every layer, of `cardinality`
  Cardinality cardinality{};
  double kv = 0.5;  ///< largest fraction of the KV cache to keep, (0, 1]
};

/// A search: what a model's heads cost and how groupings are found.
struct SearchSettings {
  SearchOptions search{};
  FitnessKind fitness{};
  CalibrationSettings calibration{};
  std::optional<Target> target{};  ///< only plans that this runtime can run
  ForwardOptions forward{};        ///< its device is that of the fitness too
};

/// A conversion from the search to the evaluation.
struct ConversionSettings {
  PlanSettings plan{};
  SearchOptions search{};
  std::optional<FitnessKind> fitness{};  ///< nothing: what the merge loses
  MergeSettings merge{};
  CalibrationSettings calibration{};
  TextSettings text{};  ///< the result is evaluated on it, if given
  OutputSettings output{};
  ForwardOptions forward{};
};

/// @throws Error(invalid_argument) for fewer tokens than one can learn from
void require_tokens(const CalibrationSettings& calibration);

/// @throws Error(invalid_argument) when a calibration is given that neither merge nor fitness looks at, or none where
/// one
///         needs it
/// @param merge  nothing: there is no merge
void require_use_of(const CalibrationSettings& calibration, std::optional<MergeKind> merge, FitnessKind fitness);

/// Everything that a result follows from, by the name of the option that it is on the command line: two runs whose
/// settings are equal here may share finished steps. Without what may change from one to the other: memory, where notes
/// go.
[[nodiscard]] nlohmann::ordered_json identity_of(const SearchSettings& settings);
[[nodiscard]] nlohmann::ordered_json identity_of(const ConversionSettings& settings);
/// What the report says of a search.
[[nodiscard]] nlohmann::ordered_json options_json(const SearchOptions& options, const Device& device);

}  // namespace qcqa
