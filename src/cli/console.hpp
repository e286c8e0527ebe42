#pragma once

#include <chrono>
#include <set>
#include <string>
#include <string_view>

#include "qcqa/pipeline/session.hpp"
#include "qcqa/support/progress.hpp"

namespace qcqa::cli {

/// What a person sees beside the result: notes and progress on stderr. Progress only on a terminal.
class Console {
 public:
  enum class Level { quiet, normal, verbose };

  explicit Console(Level level);

  /// A line on stderr, not with --quiet.
  void note(std::string_view text);
  /// "qcqa: note: ...": what was decided on the way. Each is said once.
  void remark(const std::string& text);
  /// A line on stderr, with --verbose only.
  void detail(std::string_view text);

  /// A progress line with rate and time left; returns false once Ctrl-C was pressed. Not copyable into other consoles:
  /// refers to this object.
  [[nodiscard]] ProgressFn progress();

  /// For the pipeline: progress, notes and remarks go here. Refers to this object.
  [[nodiscard]] Session session(std::filesystem::path state = {}, Resume resume = Resume::refuse);

  /// Seconds since the console was made.
  [[nodiscard]] double seconds() const;

 private:
  void show(const ProgressEvent& event);
  void clear_line();

  Level level_;
  bool terminal_;
  bool line_shown_ = false;
  std::chrono::steady_clock::time_point start_, phase_start_, last_shown_;
  std::string phase_;
  std::set<std::string> remarks_;
};

/// Turns Ctrl-C (SIGINT) and SIGTERM into a request that interrupted() reports. A second one ends the program at once.
void install_interrupt_handler();
[[nodiscard]] bool interrupted() noexcept;

}  // namespace qcqa::cli
