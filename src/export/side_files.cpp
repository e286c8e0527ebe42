#include "export/side_files.hpp"

#include <algorithm>
#include <array>

namespace qcqa {
namespace fs = std::filesystem;

std::vector<fs::path> side_files(const fs::path& folder) {
  static constexpr std::array kWeights = {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".ggml",
                                          ".onnx", ".msgpack", ".h5", ".ot", ".npz", ".tflite"};
  static constexpr std::array kReplaced = {"config.json", "README.md", kReportFile};
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_regular_file() || name.starts_with('.') || name.ends_with(".index.json")) continue;
    if (std::ranges::find(kReplaced, name) != kReplaced.end()) continue;
    if (std::ranges::find(kWeights, entry.path().extension().string()) != kWeights.end()) continue;
    files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

std::string converted_config(const Model& model, const Plan& plan, const ExportOptions& options) {
  nlohmann::ordered_json config = model.config();
  if (options.layout == Layout::gqa && !model.architecture().kv_heads_key.empty()) {
    config[model.architecture().kv_heads_key] = plan.layers.front().groups();
  }
  if (options.dtype) {
    const auto name = [&] {
      switch (*options.dtype) {
        case Dtype::f16: return "float16";
        case Dtype::bf16: return "bfloat16";
        case Dtype::f64: return "float64";
        default: return "float32";
      }
    }();
    config[config.contains("dtype") ? "dtype" : "torch_dtype"] = name;
  }
  return config.dump(2) + "\n";
}

}  // namespace qcqa
