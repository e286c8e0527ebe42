#include "qcqa/export/refitted.hpp"

#include <algorithm>

#include "checkpoint/python_json.hpp"
#include "checkpoint/weight_files.hpp"
#include "export/side_files.hpp"
#include "export/tensor_producer.hpp"
#include "qcqa/export/export.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;
constexpr const char* kConfigFile = "config.json";

std::vector<OutputTensor> tensors_of(const Model& model) {
  std::vector<OutputTensor> tensors = replace_heads(model, {}, {});
  for (OutputTensor& tensor : tensors) tensor.spec.name = model.name_in_folder(tensor.spec.name);
  return tensors;
}

/// What stands beside the weights of the model and is not written anew, config.json among it.
std::vector<fs::path> copied_files(const RefittedFolder& folder, const SideFiles& side) {
  std::vector<fs::path> files = side.copied;
  files.emplace_back(kConfigFile);
  std::erase_if(files, [&](const fs::path& file) {
    return std::ranges::any_of(folder.files, [&](const auto& written) { return file == written.first; });
  });
  return files;
}

RefittedSummary summarise(const RefittedFolder& folder, const std::vector<OutputTensor>& tensors,
                          const SideFiles& side) {
  RefittedSummary summary{.left_out = side.left_out};
  for (const OutputTensor& tensor : tensors) summary.tensor_bytes += tensor.byte_count();
  summary.file_bytes = plan_shards(specs_of(tensors), folder.writer).total_file_bytes;
  for (const fs::path& file : copied_files(folder, side))
    summary.file_bytes += fs::file_size(folder.model.path() / file);
  for (const auto& [name, content] : folder.files) summary.file_bytes += content.size();
  return summary;
}

/// The weights have their usual name now.
void forget_weight_file(const Model& model, const fs::path& file) {
  nlohmann::ordered_json config = model.settings().document();
  if (config.erase(kWeightFileKey) > 0) write_file_atomically(file, dump_python_json(std::move(config), 2) + "\n");
}

}  // namespace

void require_refittable(const Model& model) {
  const bool quantised = std::ranges::any_of(model.checkpoint().tensors(),
                                             [](const TensorView& tensor) { return tensor.stored_as.has_value(); });
  if (model.gguf() == nullptr && !quantised) return;
  throw Error(ErrorKind::unsupported, model.path().string(), "must be a folder whose weights are not quantised",
              quantised ? "quantised weights" : "GGUF", "Convert the original once more: --format safetensors.");
}

RefittedSummary preview_refitted(const RefittedFolder& folder) {
  return summarise(folder, tensors_of(folder.model), side_files(folder.model));
}

RefittedSummary write_refitted(const RefittedFolder& folder, const fs::path& target, Overwrite overwrite,
                               const ProgressFn& progress) {
  const Model& model = folder.model;
  require_refittable(model);
  require_writable_target(model, target, overwrite);
  const std::vector<OutputTensor> tensors = tensors_of(model);
  const SideFiles side = side_files(model);
  RefittedSummary summary = summarise(folder, tensors, side);
  StagedFolder staged(target, overwrite);
  require_free_space(staged.path(), summary.file_bytes);
  CheckpointWriter writer(staged.path(), specs_of(tensors), folder.writer);
  write_tensors(tensors, writer, {"write", target, progress});
  for (const fs::path& file : copied_files(folder, side)) copy_side_file(model.path() / file, staged.path() / file);
  forget_weight_file(model, staged.path() / kConfigFile);
  for (const auto& [name, content] : folder.files) write_file_atomically(staged.path() / name, content);
  staged.commit();
  return summary;
}

}  // namespace qcqa
