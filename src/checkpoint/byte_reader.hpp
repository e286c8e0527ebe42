#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "qcqa/support/error.hpp"
#include "support/advice.hpp"

namespace qcqa {

[[nodiscard]] inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Reads little-endian fields front to back and never beyond the end.
class ByteReader {
 public:
  /// @param where  for error messages; must outlive the reader
  ByteReader(std::span<const std::byte> bytes, std::string_view where) : bytes_(bytes), where_(where) {}

  [[nodiscard]] std::size_t remaining() const noexcept { return bytes_.size() - at_; }

  /// @throws Error(corrupt) when fewer bytes are left
  std::span<const std::byte> take(std::uint64_t count) {
    if (count > remaining()) {
      throw Error(ErrorKind::corrupt, where_, "must not end in the middle of a record",
                  std::to_string(remaining()) + " bytes where " + std::to_string(count) + " are needed",
                  kDownloadAgain);
    }
    const auto taken = bytes_.subspan(at_, static_cast<std::size_t>(count));
    at_ += taken.size();
    return taken;
  }

  std::string_view take_text(std::uint64_t count) {
    const auto taken = take(count);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

  /// Up to the next line feed, which is passed over.
  std::string_view take_line() {
    const auto* begin = reinterpret_cast<const char*>(bytes_.data()) + at_;
    const std::size_t length = std::string_view(begin, remaining()).find('\n');
    const std::string_view line = take_text(length == std::string_view::npos ? remaining() + 1 : length);
    take(1);
    return line;
  }

  template <std::integral T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
  std::string_view where_;
  std::size_t at_ = 0;
};

}  // namespace qcqa
