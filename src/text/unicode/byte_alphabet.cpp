#include "text/unicode/byte_alphabet.hpp"

#include "text/unicode/unicode.hpp"

namespace qcqa {

ByteAlphabet::ByteAlphabet() {
  byte_.fill(-1);
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    const char32_t shown = printable ? byte : next++;
    append_utf8(spelling_[byte], shown);
    byte_[shown] = static_cast<short>(byte);
  }
}

std::string ByteAlphabet::spell(std::string_view bytes) const {
  std::string result;
  result.reserve(bytes.size() + bytes.size() / 2);
  for (const char c : bytes) result += spelling_[static_cast<unsigned char>(c)];
  return result;
}

std::optional<std::string> ByteAlphabet::bytes_of(std::string_view spelling) const {
  std::string result;
  for (std::size_t at = 0; at < spelling.size();) {
    const char32_t c = next_code_point(spelling, at);
    if (c >= byte_.size() || byte_[c] < 0) return std::nullopt;
    result += static_cast<char>(byte_[c]);
  }
  return result;
}

const ByteAlphabet& byte_alphabet() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

}  // namespace qcqa
