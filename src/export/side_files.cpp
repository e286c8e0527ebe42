#include "export/side_files.hpp"

#include <algorithm>
#include <array>

#include "qcqa/support/error.hpp"
#include "text/chat_templates.hpp"

namespace qcqa {
namespace fs = std::filesystem;

namespace {

/// What a name ends or begins with, or all of it.
struct Pattern {
  std::string_view begin, end;
  [[nodiscard]] bool fits(std::string_view name) const {
    return name.size() >= begin.size() + end.size() && name.starts_with(begin) && name.ends_with(end);
  }
};

// Not the model's but these weights': in any format, what describes them, how they were quantised, trained or measured.
// A runtime that found them beside other weights would believe them (vLLM takes a params.json for a model of Mistral's
// own format).
constexpr std::array<Pattern, 36> kOfTheOldWeights = {{
    {"", ".safetensors"},
    {"", ".bin"},
    {"", ".pt"},
    {"", ".pth"},
    {"", ".ckpt"},
    {"", ".gguf"},
    {"", ".ggml"},
    {"", ".onnx"},
    {"", ".onnx_data"},
    {"", ".msgpack"},
    {"", ".h5"},
    {"", ".ot"},
    {"", ".npz"},
    {"", ".tflite"},
    {"", ".distcp"},
    {"", ".nemo"},
    {"model.safetensors.index.", ".json"},
    {"pytorch_model.bin.index.", ".json"},
    {"", ".index.json"},
    {"consolidated", ""},
    {"params.json", ""},
    {"checklist.chk", ""},
    {"adapter_", ""},
    {"quantize_config.json", ""},
    {"quant_config.json", ""},
    {"hf_quant_config.json", ""},
    {"quantization_config.json", ""},
    {"recipe.yaml", ""},
    {"optimizer", ""},
    {"scheduler", ""},
    {"rng_state", ""},
    {"trainer_", ""},
    {"training_", ""},
    {"zero_to_fp32.py", ""},
    {"latest", ""},
    {"", "_results.json"},
}};

// Written anew.
constexpr std::array<std::string_view, 4> kReplaced = {"config.json", "README.md", kReportFile, kDistillFile};

class Sorter {
 public:
  explicit Sorter(const Model& model) : folder_(model.path()) {
    for (const fs::path& file : model.checkpoint().files()) weights_.push_back(file.filename().string());
  }

  SideFiles run() {
    if (!fs::is_directory(folder_)) return {};  // a GGUF file holds everything itself
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) sort(entry);
    std::ranges::sort(files_.copied);
    std::ranges::sort(files_.left_out);
    return std::move(files_);
  }

 private:
  void sort(const fs::directory_entry& entry) {
    const std::string name = entry.path().filename().string();
    std::error_code ignored;
    if (name.starts_with('.') || name == "__pycache__" || std::ranges::find(kReplaced, name) != kReplaced.end()) return;
    if (entry.is_directory(ignored))
      return name == kMoreTemplates ? take_templates(entry.path()) : leave_out(name + "/");
    if (!entry.is_regular_file(ignored))
      return leave_out(entry.is_symlink(ignored) ? name + " (a link to nothing)" : name);
    if (std::ranges::any_of(kOfTheOldWeights, [&](const Pattern& pattern) { return pattern.fits(name); })) {
      if (std::ranges::find(weights_, name) == weights_.end()) leave_out(name);
      return;
    }
    files_.copied.emplace_back(name);
  }

  void take_templates(const fs::path& folder) {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      std::error_code ignored;
      if (entry.is_regular_file(ignored)) files_.copied.push_back(fs::path(kMoreTemplates) / entry.path().filename());
    }
  }

  void leave_out(std::string name) { files_.left_out.push_back(std::move(name)); }

  const fs::path& folder_;
  std::vector<std::string> weights_;
  SideFiles files_;
};

}  // namespace

SideFiles side_files(const Model& model) { return Sorter(model).run(); }

void copy_side_file(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::create_directories(to.parent_path(), error);
  fs::copy_file(from, to, error);
  if (error) throw Error(ErrorKind::io, to.string(), "cannot be copied from " + from.string(), error.message());
  fs::permissions(to, fs::perms::owner_write, fs::perm_options::add, error);  // sources may be read-only
}

}  // namespace qcqa
