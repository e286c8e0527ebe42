#include "export/side_files.hpp"

#include <algorithm>
#include <array>

#include "text/chat_templates.hpp"

namespace qcqa {
namespace fs = std::filesystem;

std::vector<fs::path> side_files(const fs::path& folder) {
  static constexpr std::array kWeights = {".safetensors", ".bin",     ".pt", ".pth", ".ckpt", ".gguf",  ".ggml",
                                          ".onnx",        ".msgpack", ".h5", ".ot",  ".npz",  ".tflite"};
  static constexpr std::array kReplaced = {"config.json", "README.md", kReportFile};
  std::vector<fs::path> files;
  if (!fs::is_directory(folder)) return files;  // a GGUF file holds everything itself
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_regular_file() || name.starts_with('.') || name.ends_with(".index.json")) continue;
    if (std::ranges::find(kReplaced, name) != kReplaced.end()) continue;
    if (std::ranges::find(kWeights, entry.path().extension().string()) != kWeights.end()) continue;
    files.push_back(entry.path());
  }
  if (fs::is_directory(folder / kMoreTemplates)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder / kMoreTemplates)) {
      if (entry.is_regular_file() && entry.path().extension() == ".jinja") files.push_back(entry.path());
    }
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace qcqa
