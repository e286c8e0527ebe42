#include "checkpoint/torch_objects.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

using Kind = PickleObject::Kind;

constexpr std::size_t kMaxRank = 64;  // what torch allows

enum class Global { ordered_dict, tensor, parameter, wrapped_tensor, size, type, storage };

struct GlobalRow {
  std::string_view module, name;
  Global meaning;
  Dtype dtype{};  ///< of a storage
};
constexpr std::array<GlobalRow, 19> kGlobals{{
    {"collections", "OrderedDict", Global::ordered_dict},
    {"torch._utils", "_rebuild_tensor", Global::tensor},  // before PyTorch 0.4
    {"torch._utils", "_rebuild_tensor_v2", Global::tensor},
    {"torch._utils", "_rebuild_parameter", Global::parameter},
    {"torch._utils", "_rebuild_parameter_with_state", Global::parameter},
    {"torch._tensor", "_rebuild_from_type_v2", Global::wrapped_tensor},
    {"torch", "Size", Global::size},
    {"torch", "Tensor", Global::type},
    {"torch.nn.parameter", "Parameter", Global::type},
    {"torch", "FloatStorage", Global::storage, Dtype::f32},
    {"torch", "HalfStorage", Global::storage, Dtype::f16},
    {"torch", "BFloat16Storage", Global::storage, Dtype::bf16},
    {"torch", "DoubleStorage", Global::storage, Dtype::f64},
    {"torch", "LongStorage", Global::storage, Dtype::i64},
    {"torch", "IntStorage", Global::storage, Dtype::i32},
    {"torch", "ShortStorage", Global::storage, Dtype::i16},
    {"torch", "CharStorage", Global::storage, Dtype::i8},
    {"torch", "ByteStorage", Global::storage, Dtype::u8},
    {"torch", "BoolStorage", Global::storage, Dtype::boolean},
}};

const GlobalRow* find_global(std::string_view module, std::string_view name) {
  const auto* row =
      std::ranges::find_if(kGlobals, [&](const GlobalRow& r) { return r.module == module && r.name == name; });
  return row == kGlobals.end() ? nullptr : row;
}

// Custom objects: `integer` counts storages up from 0 and tensors down from -1.
PickleObject storage_object(std::size_t index) {
  return {.kind = Kind::custom, .integer = static_cast<std::int64_t>(index)};
}
PickleObject tensor_object(std::size_t index) {
  return {.kind = Kind::custom, .integer = -1 - static_cast<std::int64_t>(index)};
}

}  // namespace

void TorchObjects::refuse(std::string_view rule, std::string_view found) const {
  throw Error(ErrorKind::corrupt, where_, rule, found, "The file is damaged: download it again.");
}

void TorchObjects::check_global(std::string_view module, std::string_view name) {
  if (find_global(module, name) != nullptr) return;
  throw Error(ErrorKind::unsupported, where_, "this reader builds tensors only, it never runs code",
              std::string(module).append(".").append(name),
              "If you trust the file, load it with torch and save its state dict as safetensors.");
}

PickleObject TorchObjects::call(const PickleObjects& objects, const PickleObject& global,
                                const PickleObject& arguments) {
  const GlobalRow* row = find_global(global.text, global.name);
  const auto& items = arguments.items;
  switch (row->meaning) {
    case Global::ordered_dict:
      if (!items.empty()) refuse("an OrderedDict is made empty and filled later", "arguments");
      return {.kind = Kind::dict};
    case Global::tensor:
      return add_tensor(objects, items);
    case Global::wrapped_tensor:
      return unwrap_tensor(objects, items);
    case Global::size:
      if (items.size() != 1 || objects[items[0]].kind != Kind::tuple)
        refuse("a torch.Size is made of a tuple", "something else");
      return objects[items[0]];
    case Global::parameter:
      if (items.empty() || tensor(objects[items[0]]) == nullptr)
        refuse("a parameter is made of a tensor", "something else");
      return {.kind = Kind::custom, .integer = objects[items[0]].integer};
    case Global::type:
    case Global::storage:
      break;
  }
  refuse("nothing of this type is made by a call", std::string(global.name));
}

PickleObject TorchObjects::add_tensor(const PickleObjects& objects, const std::vector<std::uint32_t>& arguments) {
  tensors_.push_back(rebuild_tensor(objects, arguments));
  return tensor_object(tensors_.size() - 1);
}

/// (function, type, its arguments, attributes): a tensor that carries Python attributes, which do not matter here.
PickleObject TorchObjects::unwrap_tensor(const PickleObjects& objects, const std::vector<std::uint32_t>& arguments) {
  constexpr std::string_view kRule = "a tensor with attributes is made by a function for tensors";
  if (arguments.size() < 3) refuse(kRule, "fewer arguments");
  const PickleObject& function = objects[arguments[0]];
  const PickleObject& inner = objects[arguments[2]];
  if (function.kind != Kind::global || inner.kind != Kind::tuple) refuse(kRule, "something else");
  const GlobalRow* row = find_global(function.text, function.name);
  if (row == nullptr || row->meaning != Global::tensor) refuse(kRule, std::string(function.name));
  return add_tensor(objects, inner.items);
}

PickleObject TorchObjects::persistent(const PickleObjects& objects, const PickleObject& id) {
  // ("storage", class, key, device, element count[, part]); the device it was saved on does not
  // matter.
  constexpr std::string_view kRule = "a persistent id must describe a storage";
  if (id.kind != Kind::tuple || id.items.size() < 5 || id.items.size() > 6) refuse(kRule, "something else");
  const auto item = [&](std::size_t i) -> const PickleObject& { return objects[id.items[i]]; };
  const GlobalRow* row = item(1).kind == Kind::global ? find_global(item(1).text, item(1).name) : nullptr;
  if (item(0).kind != Kind::text || item(0).text != "storage" || row == nullptr || row->meaning != Global::storage ||
      item(2).kind != Kind::text || item(4).kind != Kind::integer || item(4).integer < 0) {
    refuse(kRule, "something else");
  }
  const auto elements = static_cast<std::uint64_t>(item(4).integer);
  TorchStorage storage{.key = item(2).text, .dtype = row->dtype, .elements = elements, .count = elements};
  if (id.items.size() == 6) take_part(objects, item(5), storage);
  storages_.push_back(storage);
  return storage_object(storages_.size() - 1);
}

/// (key of the part, first element, elements), or None for the whole storage.
void TorchObjects::take_part(const PickleObjects& objects, const PickleObject& part, TorchStorage& storage) const {
  if (part.kind == Kind::none) return;
  constexpr std::string_view kRule = "a part of a storage must lie within it";
  if (part.kind != Kind::tuple || part.items.size() != 3) refuse(kRule, "something else");
  const PickleObject& first = objects[part.items[1]];
  const PickleObject& count = objects[part.items[2]];
  if (first.kind != Kind::integer || count.kind != Kind::integer || first.integer < 0 || count.integer < 0)
    refuse(kRule, "something else");
  storage.first = static_cast<std::uint64_t>(first.integer);
  storage.count = static_cast<std::uint64_t>(count.integer);
  if (storage.first > storage.elements || storage.count > storage.elements - storage.first) {
    refuse(kRule, std::to_string(storage.count) + " elements at " + std::to_string(storage.first) + " of " +
                      std::to_string(storage.elements));
  }
}

const TorchTensor* TorchObjects::tensor(const PickleObject& object) const {
  if (object.kind != Kind::custom || object.integer >= 0) return nullptr;
  return &tensors_[static_cast<std::size_t>(-1 - object.integer)];
}

TorchTensor TorchObjects::rebuild_tensor(const PickleObjects& objects,
                                         const std::vector<std::uint32_t>& arguments) const {
  // (storage, offset, size, stride, requires_grad, backward_hooks[, metadata]); the last ones are
  // of no use here.
  if (arguments.size() < 4) refuse("a tensor needs storage, offset, size and stride", "fewer arguments");
  const PickleObject& storage = objects[arguments[0]];
  const PickleObject& offset = objects[arguments[1]];
  if (storage.kind != Kind::custom || storage.integer < 0) refuse("a tensor needs a storage", "something else");
  if (offset.kind != Kind::integer || offset.integer < 0)
    refuse("a tensor needs a natural number as offset", "something else");
  TorchTensor result{.storage = storages_[static_cast<std::size_t>(storage.integer)],
                     .offset = static_cast<std::uint64_t>(offset.integer),
                     .shape = extents(objects, objects[arguments[2]]),
                     .strides = extents(objects, objects[arguments[3]])};
  if (result.shape.size() != result.strides.size()) {
    refuse("a tensor needs one stride per dimension",
           std::to_string(result.strides.size()) + " for " + std::to_string(result.shape.size()));
  }
  return result;
}

std::vector<std::int64_t> TorchObjects::extents(const PickleObjects& objects, const PickleObject& list) const {
  constexpr std::string_view kRule = "size and stride must be tuples of natural numbers";
  if (list.kind != Kind::tuple) refuse(kRule, "something else");
  if (list.items.size() > kMaxRank) refuse("a tensor has at most 64 dimensions", std::to_string(list.items.size()));
  std::vector<std::int64_t> values;
  for (const std::uint32_t ref : list.items) {
    const PickleObject& item = objects[ref];
    if (item.kind != Kind::integer || item.integer < 0) refuse(kRule, "something else");
    values.push_back(item.integer);
  }
  return values;
}

}  // namespace qcqa
