#include "pipeline/output_folder.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "qcqa/export/export.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {

void require_output(const Model& model, const std::filesystem::path& folder, Overwrite overwrite) {
  require_writable_target(model, folder, overwrite);
  require_folder_for(folder);
  std::error_code ignored;
  const bool ours = std::ranges::any_of(std::array{kReportFile, kDistillFile}, [&](const char* name) {
    return std::filesystem::exists(folder / name, ignored);
  });
  if (ours || is_new_or_empty(folder)) return;
  throw Error(ErrorKind::invalid_argument, folder.string(), "--force replaces folders that qcqa wrote",
              "no " + std::string(kReportFile) + " in it", "Choose another name, or remove it yourself.");
}

}  // namespace qcqa
