#include "cli/open_model.hpp"

namespace qcqa::cli {

Model open_model(const std::filesystem::path& path, Console& console) {
  Model model = Model::open(path);
  for (const std::string& note : model.notes()) console.remark(note);
  return model;
}

}  // namespace qcqa::cli
