#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

std::string one_line(std::string_view where, std::string_view rule, std::string_view found, std::string_view fix) {
  std::string text;
  if (!where.empty()) text.append(where).append(": ");
  text.append(rule);
  if (!found.empty()) text.append("; found ").append(found);
  text.append(".");
  if (!fix.empty()) text.append(" ").append(fix);
  // File content can reach an error message (tensor names, JSON values): keep it one printable line.
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = '?';
  }
  return text;
}

}  // namespace

Error::Error(ErrorKind kind, std::string_view where, std::string_view rule, std::string_view found,
             std::string_view fix)
    : std::runtime_error(one_line(where, rule, found, fix)), kind_(kind) {}

}  // namespace qcqa
