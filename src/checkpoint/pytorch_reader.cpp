#include "checkpoint/pytorch_reader.hpp"

#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>

#include "checkpoint/pickle.hpp"
#include "checkpoint/safetensors_reader.hpp"
#include "checkpoint/strided_values.hpp"
#include "checkpoint/torch_container.hpp"
#include "checkpoint/torch_objects.hpp"
#include "qcqa/support/error.hpp"
#include "support/checked.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

/// A step, a version, a date, which some trainers keep beside the weights; transformers passes over them too.
bool is_plain(const PickleObject& object) {
  return object.kind == PickleObject::Kind::none || object.kind == PickleObject::Kind::boolean ||
         object.kind == PickleObject::Kind::integer || object.kind == PickleObject::Kind::large ||
         object.kind == PickleObject::Kind::real || object.kind == PickleObject::Kind::text;
}

/// Reads single tensors off the archive.
class TensorMaker {
 public:
  TensorMaker(const MappedFile& file, const TorchStorages& storages) : file_(file), storages_(storages) {}

  TensorView make(std::string_view name, const TorchTensor& tensor) const {
    const std::string where = file_.path().string() + ": tensor " + in_quotes(name);
    const auto element_bytes = std::uint64_t{dtype_bytes(tensor.storage.dtype)};
    const std::uint64_t elements = count_elements(tensor, where);
    const bool contiguous = is_contiguous(tensor, elements);
    const std::uint64_t reach = contiguous ? elements : reach_of(tensor, elements, where);
    const std::span<const std::byte> storage = storage_of(tensor, element_bytes, where);
    const auto end = checked_add(tensor.offset, reach);
    if (!end || *end > tensor.storage.count) {
      throw Error(ErrorKind::corrupt, where, "a tensor must lie within its storage",
                  std::to_string(reach) + " elements at " + std::to_string(tensor.offset) + " of " +
                      std::to_string(tensor.storage.count));
    }
    const auto size = checked_multiply(elements, element_bytes);
    if (!size || *size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      throw Error(ErrorKind::corrupt, where, "the size of a tensor must fit in 63 bits");
    // No overflow from here on: the storage holds *end elements after its part's first.
    const std::uint64_t first = tensor.storage.first + tensor.offset;
    const auto bytes = storage.subspan(static_cast<std::size_t>(first * element_bytes),
                                       static_cast<std::size_t>(reach * element_bytes));
    TensorView view{.name = std::string(name),
                    .dtype = tensor.storage.dtype,
                    .shape = tensor.shape,
                    .stored = bytes,
                    .file = file_.path(),
                    .file_offset = static_cast<std::uint64_t>(bytes.data() - file_.bytes().data())};
    if (!contiguous)
      view.derived = std::make_shared<StridedValues>(bytes, element_bytes, tensor.shape, strides_of(tensor));
    return view;
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

  static bool is_contiguous(const TorchTensor& tensor, std::uint64_t elements) {
    std::uint64_t expected = 1;  // divides elements, so it cannot overflow unless that is 0
    for (std::size_t i = tensor.shape.size(); i-- > 0 && elements > 0;) {
      if (tensor.shape[i] != 1 && static_cast<std::uint64_t>(tensor.strides[i]) != expected) return false;
      expected *= static_cast<std::uint64_t>(tensor.shape[i]);
    }
    return true;
  }

  /// From the first element to the last, both counted.
  static std::uint64_t reach_of(const TorchTensor& tensor, std::uint64_t elements, const std::string& where) {
    std::optional<std::uint64_t> reach = elements > 0 ? 1 : 0;
    for (std::size_t i = 0; i < tensor.shape.size() && elements > 0; ++i) {
      const auto step = checked_multiply(static_cast<std::uint64_t>(tensor.shape[i]) - 1,
                                         static_cast<std::uint64_t>(tensor.strides[i]));
      reach = reach && step ? checked_add(*reach, *step) : std::nullopt;
    }
    if (!reach) throw Error(ErrorKind::corrupt, where, "the size of a tensor must fit in 64 bits");
    return *reach;
  }

  /// Of a dimension of one element the stride means nothing, and may be anything.
  static std::vector<std::int64_t> strides_of(const TorchTensor& tensor) {
    std::vector<std::int64_t> strides = tensor.strides;
    for (std::size_t i = 0; i < strides.size(); ++i) {
      if (tensor.shape[i] == 1) strides[i] = 0;
    }
    return strides;
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
                  std::to_string(found->second.size()) + " bytes for " + std::to_string(tensor.storage.elements) +
                      " of " + std::string(dtype_name(tensor.storage.dtype)));
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
    throw Error(ErrorKind::unsupported, where, "the file must hold a dict of tensors (a state dict)", "another object",
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
      throw Error(
          ErrorKind::unsupported, where, "the dict must map names to tensors",
          key.kind == PickleObject::Kind::text ? in_quotes(key.text) + " which is no tensor" : "a key that is no name",
          kSaveAgain);
    }
    if (!names.insert(key.text).second) {
      throw Error(ErrorKind::corrupt, where, "every name must occur once", "a second " + in_quotes(key.text));
    }
    views.push_back(maker.make(key.text, *tensor));
  }
  return views;
}

}  // namespace qcqa
