#pragma once

#include <CLI/CLI.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/console.hpp"
#include "cli/flags.hpp"
#include "qcqa/evaluate/evaluate.hpp"

namespace qcqa::cli {

/// The tokens to evaluate on, as named on the command line.
struct TextFlags {
  std::string token_ids;
  std::size_t context = 0, stride = 0, max_documents = 0, max_tokens = 0;
  bool truncate = false;

  void add_to(CLI::App& command);
  [[nodiscard]] bool given() const { return !token_ids.empty(); }
};

/// Documents and the windows cut from them; the windows refer to the documents.
struct EvaluationText {
  std::vector<std::vector<std::int32_t>> documents;
  std::vector<TokenWindow> windows;
  std::size_t context = 0;
};

/// @throws Error(invalid_argument, corrupt, not_found, unsupported)
[[nodiscard]] EvaluationText read_text(const Model& model, const TextFlags& flags);

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
