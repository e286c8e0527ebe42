#include "text/corpus/lines.hpp"

#include <array>
#include <fstream>

#include "checkpoint/json_file.hpp"
#include "qcqa/support/error.hpp"
#include "text/unicode/unicode.hpp"

namespace qcqa {
namespace {

/// As std::getline, but stops behind `longest` bytes: a large file without line breaks must not fill the memory.
bool next_line(std::ifstream& stream, std::size_t longest, std::string& line) {
  line.clear();
  std::array<char, std::size_t{1} << 14> part;
  do {
    stream.clear(stream.rdstate() & ~std::ios::failbit);
    stream.getline(part.data(), part.size());  // fails when the line goes on behind the part
    const bool has_end = stream.good();
    line.append(part.data(), static_cast<std::size_t>(stream.gcount()) - (has_end ? 1 : 0));
    if (has_end) return true;
  } while (!stream.eof() && !stream.bad() && stream.gcount() > 0 && line.size() <= longest);
  return !line.empty();
}

}  // namespace

void for_each_line(const std::filesystem::path& file, std::size_t longest,
                   const std::function<bool(const std::string&, const std::string&)>& take) {
  if (!std::filesystem::exists(file)) throw Error(ErrorKind::not_found, file.string(), "no such file");
  if (std::filesystem::is_directory(file)) throw Error(ErrorKind::io, file.string(), "must be a file", "a folder");
  std::ifstream stream(file, std::ios::binary);
  std::string line;
  for (std::size_t number = 1; stream && next_line(stream, longest, line); ++number) {
    const std::string where = file.string() + ", line " + std::to_string(number);
    if (line.size() > longest) {
      throw Error(ErrorKind::unsupported, where, "a line has at most " + std::to_string(longest) + " bytes", {},
                  "Write one document per line.");
    }
    if (number == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);  // a byte order mark
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (!take(line, where)) return;
  }
  if (!stream.eof()) throw Error(ErrorKind::io, file.string(), "the file must be readable");
}

nlohmann::json object_of_line(const std::string& line, const std::string& where, std::string_view fix) {
  nlohmann::json document;
  try {
    document = nlohmann::json::parse(line);
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::corrupt, where, "must be JSON", utf8_lossy(json_reason(error)), fix);
  }
  if (!document.is_object()) throw Error(ErrorKind::corrupt, where, "must be a JSON object", document.type_name(), fix);
  return document;
}

}  // namespace qcqa
