#include "cli/open_model.hpp"

#include <algorithm>
#include <system_error>

#include "qcqa/support/error.hpp"

namespace qcqa::cli {

Model open_model(const std::filesystem::path& path, Console& console) {
  Model model = Model::open(path);
  for (const std::string& note : model.notes()) console.remark(note);
  return model;
}

void require_not_of_input(const std::filesystem::path& input, const std::filesystem::path& output) {
  std::error_code ignored;
  if (!std::filesystem::exists(output, ignored) || !std::filesystem::exists(input, ignored)) return;
  const auto inner = std::filesystem::canonical(output, ignored);
  const auto outer = std::filesystem::canonical(input, ignored);
  if (std::ranges::mismatch(inner, outer).in2 != outer.end()) return;
  throw Error(ErrorKind::invalid_argument, output.string(), "the output must not be a file of the input",
              input.string(), "Choose another name.");
}

}  // namespace qcqa::cli
