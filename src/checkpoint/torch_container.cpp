#include "checkpoint/torch_container.hpp"

#include <cstdint>
#include <optional>

#include "checkpoint/byte_reader.hpp"
#include "checkpoint/zip_directory.hpp"
#include "qcqa/support/error.hpp"
#include "support/advice.hpp"
#include "support/checked.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

using Kind = PickleObject::Kind;
using Bytes = std::span<const std::byte>;

constexpr std::string_view kPickleName = "data.pkl";
constexpr std::size_t kMaxPickleBytes = 32u << 20;  // objects take more memory than their bytes; 100,000 tensors fit

/// The archive's single folder with the slash, found as the place of its data.pkl.
std::string folder_in(const ZipDirectory& members, const std::string& where) {
  std::optional<std::string> folder;
  for (const auto& [name, bytes] : members) {
    const std::size_t slash = name.rfind('/');
    if (slash == std::string::npos || std::string_view(name).substr(slash + 1) != kPickleName) continue;
    if (folder) throw Error(ErrorKind::corrupt, where, "a PyTorch file must hold one data.pkl", "several");
    folder = name.substr(0, slash + 1);
  }
  if (!folder) throw Error(ErrorKind::corrupt, where, "a PyTorch file must hold one data.pkl", "none");
  return *folder;
}

void require_little_endian(const ZipDirectory& members, const std::string& folder, const std::string& where) {
  const auto order = members.find(folder + "byteorder");
  if (order == members.end() || as_text(order->second) == "little") return;
  throw Error(ErrorKind::unsupported, where, "only little-endian files can be read", as_text(order->second),
              kSaveAgain);
}

TorchContainer read_zip(Bytes archive, const std::string& where, TorchObjects& torch) {
  const ZipDirectory members = read_zip_directory(archive, where);
  const std::string folder = folder_in(members, where);
  require_little_endian(members, folder, where);
  const Bytes program = members.find(folder + std::string(kPickleName))->second;
  if (program.size() > kMaxPickleBytes) {
    throw Error(ErrorKind::unsupported, where, "data.pkl must not be larger than 32 MiB",
                std::to_string(program.size()) + " bytes", kSaveAgain);
  }
  TorchContainer container{read_pickle(program, where, torch), {}};
  const std::string storages = folder + "data/";
  for (auto member = members.lower_bound(storages); member != members.end() && member->first.starts_with(storages);
       ++member) {
    container.storages.emplace(member->first.substr(storages.size()), member->second);
  }
  return container;
}

/// The format before PyTorch 1.6: five pickles (a magic number, the protocol, facts about the system, the objects, the
/// keys of the storages), then for every key, in that order, the number of elements and the elements.
class LegacyReader {
 public:
  LegacyReader(Bytes file, const std::string& where, TorchObjects& torch) : rest_(file), where_(where), torch_(torch) {}

  TorchContainer read() {
    require_magic_number();
    require_protocol();
    require_system();
    TorchContainer container{next_pickle(), {}};
    read_storages(container.storages);
    return container;
  }

 private:
  static constexpr std::string_view kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
  static constexpr std::int64_t kProtocol = 1001;

  [[noreturn]] void refuse(std::string_view rule, std::string_view found) const {
    throw Error(ErrorKind::corrupt, where_, rule, found, kDownloadAgain);
  }

  Pickle next_pickle() {
    Pickle pickle = read_pickle(rest_.first(std::min(rest_.size(), kMaxPickleBytes)), where_, torch_);
    rest_ = rest_.subspan(pickle.length);
    return pickle;
  }

  void require_magic_number() {
    const Pickle pickle = next_pickle();
    const PickleObject& root = pickle.objects[pickle.root];
    if (root.kind == Kind::large && root.text == kMagic) return;
    throw Error(ErrorKind::unsupported, where_, "a pickle must be one that torch.save wrote", "another",
                "If you trust the file, load it and save its tensors as safetensors.");
  }

  void require_protocol() {
    const Pickle pickle = next_pickle();
    const PickleObject& root = pickle.objects[pickle.root];
    if (root.kind == Kind::integer && root.integer == kProtocol) return;
    throw Error(ErrorKind::unsupported, where_, "a file of PyTorch before 1.6 must have its protocol 1001",
                root.kind == Kind::integer ? std::to_string(root.integer) : "something else", kSaveAgain);
  }

  void require_system() {
    const Pickle pickle = next_pickle();
    const PickleObject& root = pickle.objects[pickle.root];
    if (root.kind != Kind::dict) refuse("facts about the system must be a dict", "something else");
    for (std::size_t i = 0; i + 1 < root.items.size(); i += 2) {
      const PickleObject& key = pickle.objects[root.items[i]];
      const PickleObject& value = pickle.objects[root.items[i + 1]];
      if (key.kind != Kind::text || key.text != "little_endian" || value.kind != Kind::boolean) continue;
      if (value.integer != 0) return;
      throw Error(ErrorKind::unsupported, where_, "only little-endian files can be read", "a big-endian one",
                  kSaveAgain);
    }
  }

  void read_storages(TorchStorages& storages) {
    std::map<std::string_view, Dtype> types;
    for (const TorchStorage& storage : torch_.storages()) types.emplace(storage.key, storage.dtype);
    const Pickle keys = next_pickle();
    const PickleObject& root = keys.objects[keys.root];
    if (root.kind != Kind::list) refuse("the storages' keys must be a list", "something else");
    ByteReader data(rest_, where_);
    for (const std::uint32_t item : root.items) {
      const PickleObject& key = keys.objects[item];
      if (key.kind != Kind::text) refuse("a storage's key must be a text", "something else");
      const auto type = types.find(key.text);
      if (type == types.end()) refuse("a storage must be one that a tensor uses", in_quotes(key.text));
      const auto bytes = checked_multiply(data.number<std::uint64_t>(), std::uint64_t{dtype_bytes(type->second)});
      if (!bytes) refuse("the size of a storage must fit in 64 bits", in_quotes(key.text));
      if (!storages.emplace(key.text, data.take(*bytes)).second)
        refuse("every storage must occur once", in_quotes(key.text) + " twice");
    }
  }

  Bytes rest_;
  const std::string& where_;
  TorchObjects& torch_;
};

}  // namespace

TorchContainer read_torch_container(const MappedFile& file, TorchObjects& torch) {
  const std::string where = file.path().string();
  const std::string_view text = as_text(file.bytes());
  if (text.starts_with("PK\x03\x04")) return read_zip(file.bytes(), where, torch);
  if (text.starts_with('\x80')) return LegacyReader(file.bytes(), where, torch).read();
  throw Error(ErrorKind::corrupt, where, "a PyTorch file must be a zip archive or a pickle",
              text.empty() ? "an empty file" : "other content", "Check the file or download it again.");
}

}  // namespace qcqa
