#include "support/edited_model.hpp"

namespace qcqa::testing {

void edit_tensors(const std::filesystem::path& folder, const std::function<void(std::vector<EditedTensor>&)>& edit) {
  std::vector<EditedTensor> tensors;
  {
    const Checkpoint checkpoint = Checkpoint::open(folder);
    for (const TensorView& view : checkpoint.tensors()) {
      tensors.push_back({{view.name, view.dtype, view.shape}, {view.stored.begin(), view.stored.end()}});
    }
  }
  edit(tensors);
  std::vector<TensorSpec> specs;
  for (const EditedTensor& tensor : tensors) specs.push_back(tensor.spec);
  const std::filesystem::path fresh = folder / "edited";
  std::filesystem::create_directory(fresh);
  CheckpointWriter writer(fresh, specs);
  for (const EditedTensor& tensor : tensors) writer.write(tensor.spec.name, tensor.bytes);
  writer.finish();
  std::filesystem::rename(fresh / "model.safetensors", folder / "model.safetensors");
  std::filesystem::remove_all(fresh);
}

}  // namespace qcqa::testing
