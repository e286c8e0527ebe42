#include "checkpoint/pytorch_reader.hpp"

#include <optional>
#include <string>
#include <unordered_set>

#include "checkpoint/pickle.hpp"
#include "checkpoint/safetensors_reader.hpp"
#include "checkpoint/torch_container.hpp"
#include "checkpoint/torch_objects.hpp"
#include "qcqa/support/error.hpp"
#include "support/checked.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

constexpr std::string_view kSaveAgain =
    "Load it with torch and save its state dict as safetensors.";

/// A step, a version, a date, which some trainers keep beside the weights; transformers passes over them too.
bool is_plain(const PickleObject& object) {
  using Kind = PickleObject::Kind;
  return object.kind == Kind::none || object.kind == Kind::boolean || object.kind == Kind::integer ||
         object.kind == Kind::large || object.kind == Kind::real || object.kind == Kind::text;
}

/// Reads single tensors off the archive.
class TensorMaker {
 public:
  TensorMaker(const MappedFile& file, const TorchStorages& storages)
      : file_(file), storages_(storages) {}

  TensorView make(std::string_view name, const TorchTensor& tensor) const {
    const std::string where = file_.path().string() + ": tensor " + in_quotes(name);
    const auto element_bytes = static_cast<std::uint64_t>(dtype_bits(tensor.storage.dtype)) / 8;
    const std::uint64_t elements = count_elements(tensor, where);
    require_contiguous(tensor, elements, where);
    const std::span<const std::byte> storage = storage_of(tensor, element_bytes, where);
    const auto end = checked_add(tensor.offset, elements);
    if (!end || *end > tensor.storage.count) {
      throw Error(ErrorKind::corrupt, where, "a tensor must lie within its storage",
                  std::to_string(elements) + " elements at " + std::to_string(tensor.offset) +
                      " of " + std::to_string(tensor.storage.count));
    }
    // No overflow from here on: the storage holds *end elements after its part's first.
    const std::uint64_t first = tensor.storage.first + tensor.offset;
    const auto bytes = storage.subspan(static_cast<std::size_t>(first * element_bytes),
                                       static_cast<std::size_t>(elements * element_bytes));
    return {.name = std::string(name),
            .dtype = tensor.storage.dtype,
            .shape = tensor.shape,
            .stored = bytes,
            .file = file_.path(),
            .file_offset = static_cast<std::uint64_t>(bytes.data() - file_.bytes().data())};
  }

 private:
  static std::uint64_t count_elements(const TorchTensor& tensor, const std::string& where) {
    std::optional<std::uint64_t> count = 1;
    for (const std::int64_t extent : tensor.shape) {
      if (count) count = checked_multiply(*count, static_cast<std::uint64_t>(extent));
    }
    if (!count) throw Error(ErrorKind::corrupt, where, "the size of a tensor must fit in 64 bits");
    return *count;
  }

  static void require_contiguous(const TorchTensor& tensor, std::uint64_t elements,
                                 const std::string& where) {
    std::uint64_t expected = 1;  // divides elements, so it cannot overflow unless that is 0
    for (std::size_t i = tensor.shape.size(); i-- > 0 && elements > 0;) {
      if (tensor.shape[i] != 1 && static_cast<std::uint64_t>(tensor.strides[i]) != expected) {
        throw Error(ErrorKind::unsupported, where, "tensors must be contiguous",
                    "stride " + std::to_string(tensor.strides[i]) + " instead of " +
                        std::to_string(expected) + " in dimension " + std::to_string(i),
                    "Load it with torch, call .contiguous() and save it again.");
      }
      expected *= static_cast<std::uint64_t>(tensor.shape[i]);
    }
  }

  std::span<const std::byte> storage_of(const TorchTensor& tensor, std::uint64_t element_bytes,
                                        const std::string& where) const {
    const auto found = storages_.find(tensor.storage.key);
    if (found == storages_.end()) {
      throw Error(ErrorKind::corrupt, where, "the storage of a tensor must be in the file",
                  "no storage " + in_quotes(tensor.storage.key));
    }
    const auto needed = checked_multiply(tensor.storage.elements, element_bytes);
    if (!needed || found->second.size() < *needed) {
      throw Error(ErrorKind::corrupt, where, "a storage must hold all its elements",
                  std::to_string(found->second.size()) + " bytes for " +
                      std::to_string(tensor.storage.elements) + " of " +
                      std::string(dtype_name(tensor.storage.dtype)));
    }
    return found->second;
  }

  const MappedFile& file_;
  const TorchStorages& storages_;
};

}  // namespace

std::vector<TensorView> read_pytorch(const MappedFile& file) {
  const std::string where = file.path().string();
  refuse_git_lfs_pointer(file);
  TorchObjects torch(where);
  const auto [pickle, storages] = read_torch_container(file, torch);
  const PickleObject& root = pickle.objects[pickle.root];
  if (root.kind != PickleObject::Kind::dict) {
    throw Error(ErrorKind::unsupported, where,
                "the file must hold a dict of tensors (a state dict)", "another object",
                kSaveAgain);
  }

  const TensorMaker maker(file, storages);
  std::vector<TensorView> views;
  std::unordered_set<std::string_view> names;
  for (std::size_t i = 0; i + 1 < root.items.size(); i += 2) {
    const PickleObject& key = pickle.objects[root.items[i]];
    const PickleObject& value = pickle.objects[root.items[i + 1]];
    if (is_plain(value)) continue;
    const TorchTensor* tensor = torch.tensor(value);
    if (key.kind != PickleObject::Kind::text || tensor == nullptr) {
      // Leaving an entry out silently could lose weights: training checkpoints nest their state
      // dict, for one.
      throw Error(ErrorKind::unsupported, where, "the dict must map names to tensors",
                  key.kind == PickleObject::Kind::text ? in_quotes(key.text) + " which is no tensor"
                                                       : "a key that is no name",
                  kSaveAgain);
    }
    if (!names.insert(key.text).second) {
      throw Error(ErrorKind::corrupt, where, "every name must occur once",
                  "a second " + in_quotes(key.text));
    }
    views.push_back(maker.make(key.text, *tensor));
  }
  return views;
}

}  // namespace qcqa
