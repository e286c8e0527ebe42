#pragma once

#include <CLI/CLI.hpp>

#include <string>

#include "cli/console.hpp"
#include "cli/text_flags.hpp"
#include "qcqa/forward/generate.hpp"
#include "qcqa/text/tokenizer.hpp"

namespace qcqa::cli {

/// --sample and what goes with it.
struct SampleFlags {
  std::string prompt;
  GenerateOptions options;

  void add_to(CLI::App& command);
  [[nodiscard]] bool given() const { return !prompt.empty(); }
  /// @throws Error(invalid_argument) for numbers out of their range
  void check() const;
};

/// One model's continuation of the prompt.
struct Sample {
  std::string text;
  std::int64_t tokens = 0;
  std::int64_t kv_cache_bytes = 0;
  std::int64_t kv_cache_positions = 0;
  double tokens_per_second = 0;
};

/// @param text  says how the prompt is tokenized, as in the evaluation
[[nodiscard]] Sample sample(const Model& model, const SampleFlags& flags, const TextFlags& text,
                            const ForwardOptions& forward, Console& console);

[[nodiscard]] nlohmann::ordered_json to_json(const Sample& sample);
[[nodiscard]] std::string sample_summary(const std::string& name, const Sample& sample);
/// One line: memory of both caches, as allocated, per token that they have room for.
[[nodiscard]] std::string cache_comparison(const Sample& sample, const Sample& reference);

}  // namespace qcqa::cli
