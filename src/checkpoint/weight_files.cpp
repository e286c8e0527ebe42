#include "checkpoint/weight_files.hpp"

#include <array>
#include <optional>

#include "checkpoint/folder_contents.hpp"
#include "checkpoint/inner_path.hpp"
#include "checkpoint/json_file.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;

// The order of transformers' from_pretrained: a whole file goes before an index beside it.
constexpr std::array<std::string_view, 4> kNames = {"model.safetensors", "model.safetensors.index.json",
                                                    "pytorch_model.bin", "pytorch_model.bin.index.json"};

/// What config.json says, if it says something.
std::optional<fs::path> named_in_config(const fs::path& folder) {
  const fs::path file = folder / "config.json";
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) return std::nullopt;
  const nlohmann::json config = read_json_file(file);
  if (!config.is_object()) return std::nullopt;
  const auto name = config.find(kWeightFileKey);
  if (name == config.end() || name->is_null()) return std::nullopt;
  const std::string rule = in_quotes(kWeightFileKey) + " must name a safetensors file or index in the folder";
  if (!name->is_string()) throw Error(ErrorKind::corrupt, file.string(), rule, name->dump());
  const auto text = name->get<std::string>();
  const auto path = inner_path(text);
  if (!path || !(text.ends_with(".safetensors") || text.ends_with(".safetensors.index.json"))) {
    throw Error(ErrorKind::corrupt, file.string(), rule, in_quotes(text));
  }
  return folder / *path;
}

bool is_link_to_nothing(const fs::path& path) {
  std::error_code ignored;
  return fs::is_symlink(path, ignored) && !fs::exists(path, ignored);
}

}  // namespace

std::span<const std::string_view> weight_names() noexcept { return kNames; }

std::string accepted_weight_names() {
  std::string text;
  for (const std::string_view name : kNames) text.append(text.empty() ? "" : ", ").append(name);
  return text;
}

bool is_index_name(std::string_view name) noexcept { return name.ends_with(".json"); }

WeightFile choose_weight_file(const fs::path& folder) {
  if (const auto named = named_in_config(folder)) {
    return {*named,
            is_index_name(named->filename().string()),
            {"the weights are read from " + named->lexically_relative(folder).string() + ", as config.json says in " +
             in_quotes(kWeightFileKey)}};
  }
  std::vector<std::string_view> there;
  std::string skipped;
  std::error_code ignored;
  for (const std::string_view name : kNames) {
    const fs::path path = folder / name;
    if (fs::is_regular_file(path, ignored)) there.push_back(name);
    if (there.empty() && is_link_to_nothing(path)) skipped = name;
  }
  if (there.empty()) refuse_folder(folder, FolderLacks::weights);
  WeightFile chosen{folder / there.front(), is_index_name(there.front()), {}};
  if (!skipped.empty()) {
    chosen.notes.push_back(skipped + " is a link that leads to no file: the weights are read from " +
                           std::string(there.front()) + ", as transformers does");
  }
  if (fs::exists(folder / "adapter_config.json", ignored)) {
    chosen.notes.push_back(
        "the adapter in the folder is not applied, as in transformers without peft: merge it first if it "
        "is to count");
  }
  std::string others;
  for (std::size_t i = 1; i < there.size(); ++i) others.append(others.empty() ? "" : ", ").append(there[i]);
  if (!others.empty()) {
    chosen.notes.push_back("the weights are read from " + std::string(there.front()) +
                           ", as transformers does, not from " + others);
  }
  return chosen;
}

}  // namespace qcqa
