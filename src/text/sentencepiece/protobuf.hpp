#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qcqa {

/// One field of a protocol buffer message.
struct ProtobufField {
  std::uint32_t number = 0;
  std::uint64_t value = 0;  ///< of a varint, or the bits of a fixed-width number
  std::string_view bytes;   ///< of a string, bytes or message
  bool has_bytes = false;
};

/// Reads the fields of a message in order (Protocol Buffers, "Encoding": tag = number * 8 + wire type). A few fields of
/// one known file are all we need, and LibTorch brings a protobuf library of its own that another one must not meet.
class ProtobufReader {
 public:
  ProtobufReader(std::string_view message, const std::string& where) : rest_(message), where_(where) {}

  /// Nothing at the end. @throws Error(corrupt)
  [[nodiscard]] std::optional<ProtobufField> next();

 private:
  [[noreturn]] void corrupt(std::string_view found) const;
  std::uint64_t varint();
  std::uint64_t fixed(std::size_t bytes);

  std::string_view rest_;
  const std::string& where_;
};

}  // namespace qcqa
