#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "checkpoint/mapped_file.hpp"
#include "checkpoint/pickle.hpp"
#include "checkpoint/torch_objects.hpp"

namespace qcqa {

/// What helps where a file of torch.save holds something that is not read here.
inline constexpr std::string_view kSaveAgain = "Load it with torch and save its state dict as safetensors.";

/// Bytes of storages by key.
using TorchStorages = std::map<std::string, std::span<const std::byte>, std::less<>>;

/// What torch.save writes: objects, and the storages that they refer to.
struct TorchContainer {
  Pickle pickle;
  TorchStorages storages;
};

/// Reads a file of torch.save: the zip archive of PyTorch 1.6 and later, or the run of pickles of those before.
/// @throws Error(corrupt, unsupported)
[[nodiscard]] TorchContainer read_torch_container(const MappedFile& file, TorchObjects& torch);

}  // namespace qcqa
