#include "checkpoint/folder_contents.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/file_handle.hpp"
#include "checkpoint/json_file.hpp"
#include "checkpoint/weight_files.hpp"
#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;

struct Finding {
  ErrorKind kind{};
  std::string rule, found, fix;
};

/// A kind of weights that cannot be read where nothing else is there, known by a file's name.
struct Foreign {
  std::string_view begin, end;
  std::string_view what, fix;
};
constexpr std::string_view kDownloadHf =
    "Download the model in the Hugging Face format: config.json and model.safetensors.";
constexpr std::array<Foreign, 15> kForeign = {{
    {"shard-", ".safetensors", "a distributed checkpoint",
     "Load it with transformers' from_pretrained and write it with save_pretrained."},
    {"", ".distcp", "a distributed checkpoint of torch",
     "Merge it: python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER pytorch_model.bin."},
    {"zero_to_fp32", ".py", "a checkpoint of DeepSpeed", "Run the zero_to_fp32.py in the folder; it merges the parts."},
    {"pytorch_model_fsdp", "", "a sharded FSDP checkpoint", "Merge it: accelerate merge-weights FOLDER OUT."},
    {"consolidated", ".safetensors", "weights in their makers' own format", kDownloadHf},
    {"consolidated", ".pth", "weights in their makers' own format", kDownloadHf},
    {"", ".gguf", "GGUF", "Give the path of the GGUF file itself."},
    {"tf_model", ".h5", "weights of TensorFlow",
     "Convert them with transformers 4: from_pretrained(FOLDER, from_tf=True), then save_pretrained."},
    {"flax_model", ".msgpack", "weights of Flax",
     "Convert them with transformers 4: from_pretrained(FOLDER, from_flax=True), then save_pretrained."},
    {"", ".msgpack", "weights of Flax", kDownloadHf},
    {"", ".onnx", "ONNX", kDownloadHf},
    {"", ".npz", "weights of MLX in an old format", kDownloadHf},
    {"", ".nemo", "a NeMo archive", kDownloadHf},
    {"", ".ot", "weights of rust-bert", kDownloadHf},
    {"model.ckpt", "", "a checkpoint of TensorFlow", kDownloadHf},
}};

/// What training leaves beside weights.
constexpr std::array<std::string_view, 6> kTrainingState = {"optimizer", "scheduler", "training_args",
                                                            "rng_state", "scaler",    "adapter"};

bool is_training_state(std::string_view name) {
  return std::ranges::any_of(kTrainingState, [&](std::string_view begin) { return name.starts_with(begin); });
}

class Contents {
 public:
  explicit Contents(const fs::path& folder) : folder_(folder) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      std::error_code ignored;
      (entry.is_directory(ignored) ? folders_ : files_).push_back(entry.path().filename().string());
    }
    if (error) throw Error(ErrorKind::io, folder.string(), "the folder cannot be listed", error.message());
    std::ranges::sort(files_);
    std::ranges::sort(folders_);
  }

  [[nodiscard]] bool has(std::string_view name) const { return std::ranges::binary_search(files_, name); }

  [[nodiscard]] std::optional<std::string> first(std::string_view begin, std::string_view end) const {
    const auto found = std::ranges::find_if(files_, [&](std::string_view name) {
      return name.size() >= begin.size() + end.size() && name.starts_with(begin) && name.ends_with(end);
    });
    return found == files_.end() ? std::nullopt : std::optional(*found);
  }

  /// An adapter has no weights of its own: it is a change to those of its base.
  [[nodiscard]] std::optional<Finding> adapter() const {
    if (!has("adapter_config.json")) return std::nullopt;
    std::string kind, base;
    try {
      const nlohmann::json config = read_json_file(folder_ / "adapter_config.json");
      kind = config.value("peft_type", "");
      base = config.value("base_model_name_or_path", "");
    } catch (const std::exception&) {
      kind.clear();  // which adapter it is would only be of help
    }
    if (kind == "LORA") kind = "LoRA";
    return Finding{ErrorKind::unsupported, "an adapter is no model by itself",
                   "a" + (kind.empty() ? "n" : " " + kind) + " adapter" + (base.empty() ? "" : " of " + base),
                   "Merge it into its base first: with peft, load the base, PeftModel.from_pretrained(base, FOLDER)"
                   ".merge_and_unload(), then save_pretrained."};
  }

  [[nodiscard]] std::optional<Finding> foreign() const {
    for (const Foreign& row : kForeign) {
      std::optional<std::string> name = first(row.begin, row.end);
      if (!name && row.end.empty()) {
        const auto found = std::ranges::find_if(folders_, [&](std::string_view f) { return f.starts_with(row.begin); });
        if (found != folders_.end()) name = *found;
      }
      if (!name) continue;
      return Finding{ErrorKind::unsupported, "the folder must hold a checkpoint in safetensors or PyTorch's format",
                     "only " + std::string(row.what) + " (" + *name + ")", std::string(row.fix)};
    }
    return std::nullopt;
  }

  /// Weights under a name that transformers does not look for.
  [[nodiscard]] std::optional<Finding> misnamed() const {
    for (const auto& [begin, end] : {std::pair("model-", ".safetensors"), std::pair("pytorch_model-", ".bin")}) {
      const auto name = first(begin, end);
      if (!name) continue;
      const std::string whole = std::string(begin, std::string_view(begin).size() - 1) + end;
      const bool one = name->find("00001-of-00001") != std::string::npos;
      return Finding{ErrorKind::not_found, "the folder must hold a checkpoint",
                     one ? *name + " without an index" : "shards without an index (" + *name + ", ...)",
                     one ? "Rename it to " + whole + "." : "Download " + whole + ".index.json too."};
    }
    for (const auto& [begin, end] :
         {std::pair("model.safetensors.index.", ".json"), std::pair("model.", ".safetensors"),
          std::pair("pytorch_model.bin.index.", ".json"), std::pair("pytorch_model.", ".bin"),
          std::pair("", ".safetensors"), std::pair("", ".bin"), std::pair("", ".pth"), std::pair("", ".pt")}) {
      for (const std::string& name : files_) {
        if (!name.starts_with(begin) || !name.ends_with(end) || is_training_state(name)) continue;
        const std::string_view stem = begin;
        const bool safetensors = name.ends_with(".safetensors") || stem.starts_with("model.");
        const std::string wanted = std::string(safetensors ? "model.safetensors" : "pytorch_model.bin") +
                                   (name.ends_with(".json") ? ".index.json" : "");
        return Finding{ErrorKind::not_found, "the folder must hold a checkpoint",
                       name + (stem.empty() ? ", a name that transformers does not look for either" : ", a variant"),
                       "Rename it to " + wanted + "."};
      }
    }
    return std::nullopt;
  }

  /// A model in a folder below: a training run's checkpoints, a snapshot in a download cache.
  [[nodiscard]] std::optional<Finding> below(FolderLacks lacks) const {
    std::vector<std::string> places;
    for (const std::string& name : folders_) {
      std::error_code error;
      if (fs::exists(folder_ / name / "config.json", error)) places.push_back(name);
      if (name != "snapshots") continue;
      for (const auto& entry : fs::directory_iterator(folder_ / name, error)) {
        if (fs::exists(entry.path() / "config.json", error))
          places.push_back("snapshots/" + entry.path().filename().string());
      }
    }
    if (places.empty()) return std::nullopt;
    std::ranges::sort(places);
    return Finding{
        ErrorKind::not_found,
        lacks == FolderLacks::config ? "a model's folder holds its config.json" : "a model's folder holds its weights",
        "none, but a model in " + places.front() + (places.size() > 1 ? " and others" : ""),
        "Give the path of that folder."};
  }

  [[nodiscard]] Finding nothing(FolderLacks lacks) const {
    if (lacks == FolderLacks::config) {
      return {ErrorKind::not_found, "a model's folder holds a config.json", files_.empty() ? "an empty folder" : "none",
              "Download it too, or give the path of a downloaded Hugging Face model folder."};
    }
    std::string found = "nothing of the kind";
    if (const bool tokenizer = first("tokenizer", "").has_value(); tokenizer || has("config.json"))
      found = "only " + std::string(has("config.json") ? "config.json" : "a tokenizer") +
              (tokenizer && has("config.json") ? " and a tokenizer" : "") + ", no weights";
    return {ErrorKind::not_found, "the folder must hold a checkpoint", found,
            "Download the weights too; accepted: " + accepted_weight_names() + "."};
  }

 private:
  const fs::path& folder_;
  std::vector<std::string> files_, folders_;
};

/// A link that leads nowhere is listed, and yet no file: opening it says where it leads.
void refuse_dangling(const fs::path& folder, FolderLacks lacks) {
  const auto refuse = [&](std::string_view name) {
    std::error_code ignored;
    if (const fs::path path = folder / name; fs::is_symlink(path, ignored) && !fs::exists(path, ignored))
      (void)FileHandle::open_for_reading(path);
  };
  if (lacks == FolderLacks::config) return refuse("config.json");
  for (const std::string_view name : weight_names()) refuse(name);
}

}  // namespace

void refuse_folder(const fs::path& folder, FolderLacks lacks) {
  refuse_dangling(folder, lacks);
  const Contents contents(folder);
  std::optional<Finding> finding = contents.adapter();
  if (!finding) finding = contents.below(lacks);
  if (!finding) finding = contents.foreign();
  if (!finding && lacks == FolderLacks::weights) finding = contents.misnamed();
  if (!finding) finding = contents.nothing(lacks);
  throw Error(finding->kind, folder.string(), finding->rule, finding->found, finding->fix);
}

}  // namespace qcqa
