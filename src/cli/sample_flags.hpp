#pragma once

#include <CLI/CLI.hpp>

#include <string>

#include "qcqa/pipeline/sample.hpp"

namespace qcqa::cli {

/// --sample and what goes with it.
struct SampleFlags {
  std::string prompt;
  GenerateOptions options;

  void add_to(CLI::App& command);
  [[nodiscard]] bool given() const { return !prompt.empty(); }
};

[[nodiscard]] std::string sample_summary(const std::string& name, const Sample& sample);
/// One line: memory of both caches, as allocated, per token that they have room for.
[[nodiscard]] std::string cache_comparison(const Sample& sample, const Sample& reference);

}  // namespace qcqa::cli
