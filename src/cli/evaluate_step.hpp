#pragma once

#include <CLI/CLI.hpp>

#include <string>

#include "cli/text_flags.hpp"

namespace qcqa::cli {

/// --compute and --device.
struct ComputeFlags {
  std::string compute = "f32";

  void add_to(CLI::App& command);
  [[nodiscard]] ForwardOptions resolve(const std::string& device) const;
};

/// "10%" or "0.1": a fraction. @throws Error(invalid_argument)
[[nodiscard]] double parse_increase(const std::string& text, const std::string& option);

[[nodiscard]] nlohmann::ordered_json to_json(const Evaluation& evaluation);

/// The result for people: a line or two, with what it was measured on.
[[nodiscard]] std::string evaluation_summary(const Evaluation& evaluation, const EvaluationText& text);

}  // namespace qcqa::cli
