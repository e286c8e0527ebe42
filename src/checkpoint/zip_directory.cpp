#include "checkpoint/zip_directory.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>

#include "checkpoint/byte_reader.hpp"
#include "qcqa/support/error.hpp"
#include "support/advice.hpp"
#include "support/in_quotes.hpp"

// PKWARE APPNOTE 6.3: end record (section 4.3.16), zip64 end record and locator (4.3.14, 4.3.15),
// central directory (4.3.12), local header (4.3.7), zip64 extra field (4.5.3).

namespace qcqa {
namespace {

constexpr std::size_t kEndBytes = 22, kLocatorBytes = 20, kMaxCommentBytes = 65535;
constexpr std::uint32_t kEndMagic = 0x06054b50, kLocatorMagic = 0x07064b50, kEnd64Magic = 0x06064b50;
constexpr std::uint32_t kCentralMagic = 0x02014b50, kLocalMagic = 0x04034b50;
constexpr std::uint32_t kIn64 = 0xffffffff;  // "see the zip64 record"
constexpr std::uint16_t kHasDescriptor = 8;  // of a member's flags: sizes once more behind its data
constexpr std::uint64_t kMaxDescriptorBytes = 24;

/// Where a member's data ends, and the next member may begin at the latest.
struct MemberEnd {
  std::uint64_t least, most;
};

struct DirectoryPlace {
  std::uint64_t entries, bytes, offset;
};

struct Member {
  std::string_view name;
  std::uint16_t flags, method;
  std::uint64_t stored_bytes, bytes, local_offset;
};

class DirectoryReader {
 public:
  DirectoryReader(std::span<const std::byte> archive, const std::string& where) : archive_(archive), where_(where) {}

  ZipDirectory read() {
    const DirectoryPlace place = find_directory();
    ByteReader directory(slice(place.offset, place.bytes), where_);
    ZipDirectory members;
    std::map<std::uint64_t, MemberEnd> ends;  // by begin
    for (std::uint64_t i = 0; i < place.entries; ++i) {
      const Member member = read_member(directory);
      const auto data = data_of(member);
      if (!members.emplace(member.name, data).second) {
        refuse("every member must occur once", in_quotes(member.name) + " twice");
      }
      const auto end = static_cast<std::uint64_t>(data.data() - archive_.data()) + data.size();
      ends[member.local_offset] = {end, (member.flags & kHasDescriptor) != 0 ? end + kMaxDescriptorBytes : end};
    }
    require_no_holes(ends, place.offset);
    return members;
  }

 private:
  [[noreturn]] void refuse(std::string_view rule, std::string_view found) const {
    throw Error(ErrorKind::corrupt, where_, rule, found, kDownloadAgain);
  }

  /// Data that begins too early or too late leaves a hole or reaches into what follows.
  void require_no_holes(const std::map<std::uint64_t, MemberEnd>& ends, std::uint64_t directory) const {
    for (auto member = ends.begin(); member != ends.end(); ++member) {
      const auto next = std::next(member);
      const std::uint64_t follows = next == ends.end() ? directory : next->first;
      if (follows < member->second.least || follows > member->second.most) {
        refuse("members must follow one another", "an end at " + std::to_string(member->second.least) +
                                                      " and the next begin at " + std::to_string(follows));
      }
    }
  }

  [[nodiscard]] std::span<const std::byte> slice(std::uint64_t offset, std::uint64_t bytes) const {
    if (offset > archive_.size() || bytes > archive_.size() - offset) {
      refuse("a zip record must lie within the file", std::to_string(bytes) + " bytes at " + std::to_string(offset) +
                                                          " in a file of " + std::to_string(archive_.size()));
    }
    return archive_.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(bytes));
  }

  /// The end record is the last one whose comment reaches exactly to the end of the file.
  [[nodiscard]] std::size_t find_end_record() const {
    const std::size_t size = archive_.size();
    for (std::size_t comment = 0; comment <= kMaxCommentBytes && comment + kEndBytes <= size; ++comment) {
      const std::size_t at = size - kEndBytes - comment;
      std::uint32_t magic;
      std::uint16_t length;
      std::memcpy(&magic, archive_.data() + at, sizeof magic);
      std::memcpy(&length, archive_.data() + at + kEndBytes - 2, sizeof length);
      if (magic == kEndMagic && length == comment) return at;
    }
    refuse("a PyTorch file must be a complete zip archive", "no end record");
  }

  [[nodiscard]] DirectoryPlace find_directory() const {
    const std::size_t end_at = find_end_record();
    if (end_at >= kLocatorBytes) {
      ByteReader locator(slice(end_at - kLocatorBytes, kLocatorBytes), where_);
      if (locator.number<std::uint32_t>() == kLocatorMagic) {
        (void)locator.number<std::uint32_t>();
        return read_end64(locator.number<std::uint64_t>());
      }
    }
    ByteReader end(slice(end_at + 4, kEndBytes - 4), where_);
    const auto disk = end.number<std::uint16_t>();
    const auto directory_disk = end.number<std::uint16_t>();
    const auto entries_here = end.number<std::uint16_t>();
    const auto entries = end.number<std::uint16_t>();
    require_one_part(disk == 0 && directory_disk == 0 && entries_here == entries);
    const auto bytes = end.number<std::uint32_t>();
    return {.entries = entries, .bytes = bytes, .offset = end.number<std::uint32_t>()};
  }

  [[nodiscard]] DirectoryPlace read_end64(std::uint64_t at) const {
    ByteReader end(slice(at, 56), where_);
    if (end.number<std::uint32_t>() != kEnd64Magic)
      refuse("the zip64 end record must be where it is said to be", "none");
    end.take(8 + 2 + 2);  // record size and versions
    const auto disk = end.number<std::uint32_t>();
    const auto directory_disk = end.number<std::uint32_t>();
    const auto entries_here = end.number<std::uint64_t>();
    const auto entries = end.number<std::uint64_t>();
    require_one_part(disk == 0 && directory_disk == 0 && entries_here == entries);
    const auto bytes = end.number<std::uint64_t>();
    return {.entries = entries, .bytes = bytes, .offset = end.number<std::uint64_t>()};
  }

  void require_one_part(bool one) const {
    if (!one) throw Error(ErrorKind::unsupported, where_, "archives in several parts cannot be read");
  }

  [[nodiscard]] Member read_member(ByteReader& directory) const {
    if (directory.number<std::uint32_t>() != kCentralMagic) {
      refuse("the zip directory must list its members", "something else");
    }
    directory.take(4);  // versions
    Member member{};
    member.flags = directory.number<std::uint16_t>();
    member.method = directory.number<std::uint16_t>();
    directory.take(2 + 2 + 4);  // time, date, checksum
    const auto stored_bytes = directory.number<std::uint32_t>();
    const auto bytes = directory.number<std::uint32_t>();
    const auto name_bytes = directory.number<std::uint16_t>();
    const auto extra_bytes = directory.number<std::uint16_t>();
    const auto comment_bytes = directory.number<std::uint16_t>();
    directory.take(2 + 2 + 4);  // disk, attributes
    const auto local_offset = directory.number<std::uint32_t>();
    member.name = directory.take_text(name_bytes);
    ByteReader extra(directory.take(extra_bytes), where_);
    directory.take(comment_bytes);

    std::optional<ByteReader> in_64 = find_zip64_field(extra);
    const auto zip64_value = [&](std::uint32_t value) -> std::uint64_t {
      if (value != kIn64) return value;
      if (!in_64) refuse("a large member needs a zip64 field", in_quotes(member.name) + " without");
      return in_64->number<std::uint64_t>();
    };
    member.bytes = zip64_value(bytes);  // the order of these three is the format's
    member.stored_bytes = zip64_value(stored_bytes);
    member.local_offset = zip64_value(local_offset);
    return member;
  }

  [[nodiscard]] std::optional<ByteReader> find_zip64_field(ByteReader& extra) const {
    while (extra.remaining() >= 4) {
      const auto id = extra.number<std::uint16_t>();
      const auto field = extra.take(extra.number<std::uint16_t>());
      if (id == 1) return ByteReader(field, where_);
    }
    return std::nullopt;
  }

  [[nodiscard]] std::span<const std::byte> data_of(const Member& member) const {
    if ((member.flags & 1) != 0 || member.method != 0) {
      throw Error(ErrorKind::unsupported, where_, "members must be stored as they are",
                  in_quotes(member.name) + ((member.flags & 1) != 0 ? " encrypted" : " compressed"),
                  "Save the checkpoint again with torch.save or as safetensors.");
    }
    if (member.stored_bytes != member.bytes) {
      refuse("a stored member must have one size", in_quotes(member.name) + " with two");
    }
    ByteReader local(slice(member.local_offset, 30), where_);
    if (local.number<std::uint32_t>() != kLocalMagic) {
      refuse("a member must start with its header", "none for " + in_quotes(member.name));
    }
    local.take(22);  // told by the directory already
    const auto name_bytes = local.number<std::uint16_t>();
    const auto extra_bytes = local.number<std::uint16_t>();
    const std::uint64_t names_end = member.local_offset + 30U + name_bytes;
    // Where the data begins is told nowhere else, so what is told twice or has a form of its own is looked at.
    if (ByteReader(slice(member.local_offset + 30U, name_bytes), where_).take_text(name_bytes) != member.name) {
      refuse("a member must have one name", in_quotes(member.name) + " with two");
    }
    for (ByteReader extra(slice(names_end, extra_bytes), where_); extra.remaining() > 0;) {
      extra.take(2);
      extra.take(extra.number<std::uint16_t>());
    }
    return slice(names_end + extra_bytes, member.bytes);
  }

  std::span<const std::byte> archive_;
  const std::string& where_;
};

}  // namespace

ZipDirectory read_zip_directory(std::span<const std::byte> archive, const std::string& where) {
  return DirectoryReader(archive, where).read();
}

}  // namespace qcqa
