#include "text/sentencepiece/protobuf.hpp"

#include "qcqa/support/error.hpp"
#include "support/advice.hpp"

namespace qcqa {

std::optional<ProtobufField> ProtobufReader::next() {
  if (rest_.empty()) return std::nullopt;
  const std::uint64_t tag = varint();
  if (tag >> 3 == 0 || tag >> 32 != 0) corrupt("a field number out of range");
  ProtobufField field;
  field.number = static_cast<std::uint32_t>(tag >> 3);
  switch (tag & 7) {
    case 0:
      field.value = varint();
      break;
    case 1:
      field.value = fixed(8);
      break;
    case 2: {
      const std::uint64_t length = varint();
      if (length > rest_.size()) corrupt("a field that goes beyond the end");
      field.bytes = rest_.substr(0, length);
      field.has_bytes = true;
      rest_.remove_prefix(length);
      break;
    }
    case 5:
      field.value = fixed(4);
      break;
    default:
      corrupt("a field of unknown type");
  }
  return field;
}

void ProtobufReader::corrupt(std::string_view found) const {
  throw Error(ErrorKind::corrupt, where_, "must be a SentencePiece model", found, kFetchAgain);
}

std::uint64_t ProtobufReader::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (rest_.empty()) corrupt("an unfinished number");
    const auto byte = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
  corrupt("a number of more than 64 bits");
}

std::uint64_t ProtobufReader::fixed(std::size_t bytes) {
  if (rest_.size() < bytes) corrupt("an unfinished number");
  std::uint64_t value = 0;
  for (std::size_t i = bytes; i-- > 0;) value = (value << 8) | static_cast<unsigned char>(rest_[i]);
  rest_.remove_prefix(bytes);
  return value;
}

}  // namespace qcqa
