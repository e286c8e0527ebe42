#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "qcqa/merge/merge.hpp"

namespace qcqa::cli {

/// What fits of layers have in common, under the names that a command gives it.
class FitFlags {
 public:
  /// @param name  of the option that says what may change  @param whose  "What " and this "may change" are its help
  FitFlags(std::string name, std::string whose, std::string group)
      : name_(std::move(name)), whose_(std::move(whose)), group_(std::move(group)) {}

  void add_scope_to(CLI::App& command);
  /// @param kept  "Memory for " and this are the help
  void add_memory_to(CLI::App& command, const std::string& kept);
  /// @param who  "Longest time that " and this "may plan for" are the help
  void add_time_limit_to(CLI::App& command, const std::string& who);

  /// These throw Error(invalid_argument).
  [[nodiscard]] ReconstructScope scope(const Model& model) const;
  [[nodiscard]] std::uint64_t memory() const;
  [[nodiscard]] double time_limit() const;  ///< seconds

 private:
  std::string name_, whose_, group_;
  std::optional<std::string> scope_;
  std::string time_limit_ = "1h";
  std::optional<std::string> memory_;
};

/// @throws Error(invalid_argument) for a number of steps below `least`
[[nodiscard]] int require_steps(const std::string& option, int steps, int least);

/// "90", "90s", "30m", "1.5h": seconds. @throws Error(invalid_argument)
[[nodiscard]] double parse_duration(const std::string& text, const std::string& option);

}  // namespace qcqa::cli
