#include "merge/kept_tensors.hpp"

#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/checkpoint/writer.hpp"

namespace qcqa {

void keep_tensors(const std::filesystem::path& folder, const std::vector<TensorBytes>& tensors,
                  const nlohmann::json& summary) {
  std::vector<TensorSpec> specs;
  std::uint64_t bytes = 0;
  for (const TensorBytes& tensor : tensors) {
    specs.push_back({tensor.name, tensor.dtype, tensor.shape});
    bytes += tensor.bytes.size();
  }
  require_free_space(folder.parent_path(), bytes);
  StagedFolder staged(folder, Overwrite::replace);
  CheckpointWriter writer(staged.path(), specs);
  for (const TensorBytes& tensor : tensors) writer.write(tensor.name, tensor.bytes);
  writer.finish();
  write_file_atomically(staged.path() / kSummaryFile, summary.dump());
  staged.commit();
}

int steps_of(const JsonView& summary, const char* key) {
  static constexpr std::int64_t kMostSteps = 1 << 30;
  return static_cast<int>(summary.at(key).integer(0, kMostSteps));
}

}  // namespace qcqa
