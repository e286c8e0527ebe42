#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "cli/console.hpp"
#include "qcqa/export/export.hpp"
#include "qcqa/pipeline/session.hpp"
#include "qcqa/pipeline/settings.hpp"
#include "qcqa/search/model_search.hpp"
#include "qcqa/support/device.hpp"

namespace qcqa::cli {

/// The group of the options that say where and how an output is written.
inline constexpr const char* kOutputGroup = "Output";

/// -q, -v, -j, --device: what every working command has.
struct CommonFlags {
  bool quiet = false, verbose = false;
  int threads = 0;
  std::string device = "auto";

  void add_to(CLI::App& command);
  [[nodiscard]] Console console() const;
  /// Sets the number of threads of OpenMP and LibTorch, and returns it. Left to itself, LibTorch sets OpenMP's to the
  /// number of cores it believes in, with its first operator: on some virtual machines one of two.
  int apply_threads() const;
};

/// Options of the search; `SearchOptions` as typed by a user.
struct SearchFlags {
  SearchOptions options;
  std::string cardinality = "both";
  std::string stage2 = "front";
  std::string strategy = "auto";
  bool uniform = false;

  void add_to(CLI::App& command);
  /// @throws Error(invalid_argument)
  [[nodiscard]] SearchOptions resolve(int threads) const;
};

/// --target as typed. @throws Error(invalid_argument)
[[nodiscard]] Target parse_target(const std::string& name);
[[nodiscard]] std::string describe_targets();

/// Options of writing a checkpoint.
struct OutputFlags {
  std::string output;
  std::string layout = "gqa";  ///< or "auto"
  std::string format = "safetensors", target;
  CLI::Option* layout_option = nullptr;
  std::string dtype = "keep";
  std::string max_shard_size = "5GB";
  bool force = false, dry_run = false;

  void add_to(CLI::App& command);
  /// @throws Error(invalid_argument)
  [[nodiscard]] OutputSettings resolve() const;

 private:
  /// The runtime to choose a layout for once the plan is known; nothing when the layout is given.
  [[nodiscard]] std::optional<Target> automatic_for() const;
};

/// --force, for every command that writes a folder.
void add_force(CLI::App& command, bool& force);

/// -o as typed, without a slash at its end.
[[nodiscard]] std::filesystem::path output_folder(const std::string& output);

/// "5GB", "500 MB", "1.5GiB", "1000000": bytes. Decimal and binary units. @throws Error(invalid_argument)
[[nodiscard]] std::uint64_t parse_size(const std::string& text, const std::string& option);

/// --resume and --force: what to do with the finished steps of an interrupted run.
[[nodiscard]] Resume resume_of(bool resume, bool force);

/// The command line as typed but for --resume, for model cards.
void remember_command_line(int argc, const char* const* argv);
[[nodiscard]] const std::string& command_line();

}  // namespace qcqa::cli
