#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// Builds the files that torch.save writes, byte by byte: a zip of stored members around a pickle of
// protocol 2.

namespace qcqa::testing {

inline std::string le(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  return text;
}

struct ZipMember {
  std::string name, data;
  int method = 0;
  int flags = 0;
};

/// @param zip64  sizes and offsets moved to zip64 records, as for files of 4 GiB and more
inline std::string zip_bytes(const std::vector<ZipMember>& members, bool zip64 = false) {
  std::string file, directory;
  for (const ZipMember& member : members) {
    const std::uint64_t offset = file.size(), size = member.data.size();
    const std::string tail = le(0, 8);  // time, date, checksum
    file += "PK\x03\x04" + le(45, 2) + le(static_cast<unsigned>(member.flags), 2) +
            le(static_cast<unsigned>(member.method), 2) + tail + le(size, 4) + le(size, 4) + le(member.name.size(), 2) +
            le(5, 2) + member.name + "FB\x01" + le(0, 2);  // torch aligns data with such an extra field
    file += member.data;
    const std::string extra = zip64 ? le(1, 2) + le(24, 2) + le(size, 8) + le(size, 8) + le(offset, 8) : "";
    const std::uint64_t in_64 = 0xffffffff;
    directory += "PK\x01\x02" + le(45, 2) + le(45, 2) + le(static_cast<unsigned>(member.flags), 2) +
                 le(static_cast<unsigned>(member.method), 2) + tail + le(zip64 ? in_64 : size, 4) +
                 le(zip64 ? in_64 : size, 4) + le(member.name.size(), 2) + le(extra.size(), 2) + le(0, 2) + le(0, 8) +
                 le(zip64 ? in_64 : offset, 4) + member.name + extra;
  }
  const std::uint64_t at = file.size(), count = members.size();
  file += directory;
  if (zip64) {
    const std::uint64_t end64 = file.size();
    file += "PK\x06\x06" + le(44, 8) + le(45, 2) + le(45, 2) + le(0, 8) + le(count, 8) + le(count, 8) +
            le(directory.size(), 8) + le(at, 8);
    file += "PK\x06\x07" + le(0, 4) + le(end64, 8) + le(1, 4);
  }
  return file + "PK\x05\x06" + le(0, 4) + le(zip64 ? 0xffff : count, 2) + le(zip64 ? 0xffff : count, 2) +
         le(zip64 ? 0xffffffff : directory.size(), 4) + le(zip64 ? 0xffffffff : at, 4) + le(0, 2);
}

// Pieces of a pickle.
inline std::string p_text(std::string_view text) { return std::string("X").append(le(text.size(), 4)).append(text); }
inline std::string p_int(std::int64_t value) {
  return std::string("J").append(le(static_cast<std::uint64_t>(value), 4));
}
inline std::string p_global(std::string_view module, std::string_view name) {
  return std::string("c").append(module).append("\n").append(name).append("\n");
}
inline std::string p_ints(const std::vector<int>& values) {
  std::string text = "(";
  for (const int value : values) text += p_int(value);
  return text + "t";
}
inline std::string p_storage(std::string_view type, std::string_view key, int elements) {
  return std::string("(")
      .append(p_text("storage"))
      .append(p_global("torch", type))
      .append(p_text(key))
      .append(p_text("cpu"))
      .append(p_int(elements))
      .append("tQ");
}
inline std::string p_ordered_dict() { return p_global("collections", "OrderedDict") + ")R"; }
inline std::string p_tensor(std::string_view storage, int offset, const std::vector<int>& size,
                            const std::vector<int>& stride) {
  return p_global("torch._utils", "_rebuild_tensor_v2") + "(" + std::string(storage) + p_int(offset) + p_ints(size) +
         p_ints(stride) + "\x89" + p_ordered_dict() + "tR";
}
/// `entries`: keys and values already pickled, one after the other.
inline std::string p_state_dict(std::string_view entries) {
  return "\x80\x02" + p_ordered_dict() + "(" + std::string(entries) + "u.";
}

/// A whole file: the pickle and storages named 0, 1, ...
inline std::string pytorch_bytes(std::string_view pickle, const std::vector<std::string>& storages,
                                 bool zip64 = false) {
  std::vector<ZipMember> members{{"archive/data.pkl", std::string(pickle)}};
  for (std::size_t i = 0; i < storages.size(); ++i)
    members.push_back({"archive/data/" + std::to_string(i), storages[i]});
  members.push_back({"archive/version", "3\n"});
  return zip_bytes(members, zip64);
}

/// What PyTorch before 1.6 wrote ahead of the objects: magic number, protocol, facts about the system.
inline std::string legacy_prelude(bool little_endian = true) {
  return std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.") + "\x80\x02" + p_int(1001) +
         ".\x80\x02}(" + p_text("protocol_version") + p_int(1001) + p_text("little_endian") +
         (little_endian ? "\x88" : "\x89") + "u.";
}

struct LegacyStorage {
  std::string key;
  std::uint64_t elements = 0;
  std::string bytes;
};

/// A whole file of PyTorch before 1.6.
inline std::string legacy_pytorch_bytes(std::string_view pickle, const std::vector<LegacyStorage>& storages) {
  std::string file = legacy_prelude() + std::string(pickle) + "\x80\x02](";
  for (const LegacyStorage& storage : storages) file += p_text(storage.key);
  file += "e.";
  for (const LegacyStorage& storage : storages) file += le(storage.elements, 8) + storage.bytes;
  return file;
}

}  // namespace qcqa::testing
