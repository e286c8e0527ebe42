#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "qcqa/support/progress.hpp"

namespace qcqa {

/// Whether a run may begin where an interrupted one stopped.
enum class Resume {
  refuse,      ///< finished steps of another run are an error
  go_on,       ///< they are taken up; with none there, the run begins at its beginning
  start_over,  ///< they are removed
};

/// What a run tells while it works, and where it keeps what it has finished.
struct Session {
  ProgressFn progress{};                           ///< returning false asks to stop at the next safe point
  std::function<void(const std::string&)> note{};  ///< what a step did; a line, or a few
  std::function<void(const std::string&)>
      remark{};  ///< what was decided on the way that somebody should know, a sentence
  /// A folder for finished steps: there from the first of them on, gone when all is done. Nothing there: the output's
  /// name and ".state".
  std::filesystem::path state{};
  Resume resume = Resume::refuse;

  void say(const std::string& text) const {
    if (note) note(text);
  }
  void decide(const std::string& text) const {
    if (remark) remark(text);
  }
};

}  // namespace qcqa
