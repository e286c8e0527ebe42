#include "text/lines.hpp"

#include <fstream>

#include "qcqa/support/error.hpp"

namespace qcqa {

void for_each_line(const std::filesystem::path& file,
                   const std::function<bool(const std::string&, const std::string&)>& take) {
  if (!std::filesystem::exists(file)) throw Error(ErrorKind::not_found, file.string(), "no such file");
  std::ifstream stream(file, std::ios::binary);
  std::string line;
  for (std::size_t number = 1; std::getline(stream, line); ++number) {
    if (number == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);  // a byte order mark
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (!take(line, file.string() + ", line " + std::to_string(number))) return;
  }
  if (!stream.eof()) throw Error(ErrorKind::io, file.string(), "the file must be readable");
}

}  // namespace qcqa
