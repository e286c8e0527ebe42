#pragma once

#include <CLI/CLI.hpp>

#include <optional>
#include <string>

#include "cli/console.hpp"
#include "qcqa/evaluate/choices.hpp"

namespace qcqa::cli {

/// --compute and --device.
struct ComputeFlags {
  std::string compute = "f32";

  void add_to(CLI::App& command);
  [[nodiscard]] ForwardOptions resolve(const std::string& device) const;
};

/// --kv-cache.
struct KvCacheFlag {
  std::string type = "f32";

  void add_to(CLI::App& command);
  [[nodiscard]] KvCacheType resolve() const;
};

/// --max-perplexity-increase.
struct IncreaseLimit {
  std::string text;

  void add_to(CLI::App& command);
  /// "10%" or "0.1": a fraction; nothing when not given. @throws Error(invalid_argument)
  [[nodiscard]] std::optional<double> resolve() const;
};

/// The exit code that the limit asks for; a note when it was missed. `evaluation` has a reference if there is a limit.
[[nodiscard]] int check_increase(const Evaluation& evaluation, const IncreaseLimit& limit, Console& console);

/// The result for people: a line or two, with what it was measured on.
/// @param on  words for that: context, BOS
[[nodiscard]] std::string evaluation_summary(const Evaluation& evaluation, const std::string& on);

/// The same of multiple-choice questions.
[[nodiscard]] std::string choices_summary(const ChoiceEvaluation& choices);

}  // namespace qcqa::cli
