#include "cli/calibration_flags.hpp"

namespace qcqa::cli {

void CalibrationFlags::add_to(CLI::App& command, const std::string& who) {
  const std::string group = "Calibration";
  command
      .add_option("--calibrate", settings.sources,
                  "Text (.jsonl, .txt or a folder) that shows what heads do, or self: text that " + who +
                      " makes up. May be given several times")
      ->group(group)
      ->allow_extra_args(false);
  command.add_option("--calibration-tokens", settings.tokens, "Tokens of each --calibrate at most")
      ->group(group)
      ->capture_default_str();
}

CalibrationSettings CalibrationFlags::resolve() const {
  CalibrationSettings resolved = settings;
  resolved.tokenizer = tokenizer.resolve();
  return resolved;
}

}  // namespace qcqa::cli
