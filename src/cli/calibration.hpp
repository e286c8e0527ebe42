#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cli/console.hpp"
#include "cli/tokenizer_flag.hpp"
#include "qcqa/forward/forward_options.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/text/token_sequences.hpp"

namespace qcqa::cli {

/// The --calibrate that asks for text of the model's own.
inline constexpr const char* kSelf = "self";

/// --calibrate and what belongs to it.
struct CalibrationFlags {
  std::vector<std::string> sources;
  std::int64_t tokens = 131072;
  TokenizerFlag tokenizer;  ///< its option is the command's

  void add_to(CLI::App& command);
  [[nodiscard]] bool given() const noexcept { return !sources.empty(); }
  /// Whether text has to be made up.
  [[nodiscard]] bool samples() const;
  /// @throws Error(invalid_argument)
  void check() const;
};

/// The token that made-up text begins with. @throws Error(unsupported) when there is none
[[nodiscard]] std::int32_t bos_token(const Model& model);

/// Reads the texts and samples from the model; tells how much that was and how long it took.
/// @param seed  of the sampling
[[nodiscard]] TokenSequences collect_calibration(const Model& model, const CalibrationFlags& flags, std::uint64_t seed,
                                                 const ForwardOptions& forward, Console& console);

}  // namespace qcqa::cli
