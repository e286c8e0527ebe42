#include "qcqa/text/documents.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <vector>

#include <nlohmann/json.hpp>

#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"
#include "text/json_view.hpp"
#include "text/lines.hpp"
#include "text/unicode.hpp"

namespace qcqa {
namespace {

using Json = nlohmann::json;
using Take = std::function<bool(Document&&)>;

void check_size(const std::string& name, std::uintmax_t bytes, const DocumentLimits& limits) {
  if (bytes <= limits.bytes) return;
  throw Error(ErrorKind::unsupported, name, "a document has at most " + std::to_string(limits.bytes) + " bytes",
              std::to_string(bytes), "Write it as .jsonl, one document per line.");
}

std::string text_of_line(const std::string& line, const std::string& where, const std::string& field) {
  Json document;
  try {
    document = Json::parse(line);
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::corrupt, where, "must be JSON", json_reason(error),
                "One document per line: {\"text\": \"...\"}.");
  }
  if (!document.is_object()) {
    throw Error(ErrorKind::corrupt, where, "must be a JSON object", document.type_name(),
                "One document per line: {\"text\": \"...\"}.");
  }
  const auto text = document.find(field);
  if (text == document.end()) throw Error(ErrorKind::corrupt, where, "must have a member " + in_quotes(field));
  if (!text->is_string()) {
    throw Error(ErrorKind::corrupt, where, in_quotes(field) + " must be a string", text->type_name());
  }
  return text->get<std::string>();
}

bool read_lines(const std::filesystem::path& file, const DocumentLimits& limits, const Take& take) {
  bool wants_more = true;
  for_each_line(file, [&](const std::string& line, const std::string& where) {
    check_size(where, line.size(), limits);
    return wants_more = take({where, text_of_line(line, where, limits.field)});
  });
  return wants_more;
}

bool read_whole(const std::filesystem::path& file, const DocumentLimits& limits, const Take& take) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  if (!error) check_size(file.string(), size, limits);  // a pipe has no size before it is read
  std::string text = read_text_file(file);
  check_size(file.string(), text.size(), limits);
  if (const auto position = invalid_utf8_at(text)) {
    throw Error(ErrorKind::corrupt, file.string(), "must be UTF-8 text",
                "something else at byte " + std::to_string(*position));
  }
  return take({file.string(), std::move(text)});
}

bool read_file(const std::filesystem::path& file, const DocumentLimits& limits, const Take& take) {
  static constexpr std::array<std::string_view, 4> kPlain{"", ".txt", ".md", ".text"};
  const std::string suffix = file.extension().string();
  if (suffix == ".jsonl") return read_lines(file, limits, take);
  if (std::ranges::find(kPlain, suffix) != kPlain.end()) return read_whole(file, limits, take);
  throw Error(ErrorKind::unsupported, file.string(), "text is read from .jsonl, .txt, .md or a folder of such files",
              in_quotes(suffix));
}

void read_folder(const std::filesystem::path& folder, const DocumentLimits& limits, const Take& take) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file() && !entry.path().filename().string().starts_with('.')) files.push_back(entry.path());
  }
  if (files.empty()) throw Error(ErrorKind::not_found, folder.string(), "must have files with text in it");
  std::ranges::sort(files);
  for (const std::filesystem::path& file : files) {
    if (!read_file(file, limits, take)) return;
  }
}

}  // namespace

void for_each_document(const std::filesystem::path& path, const DocumentLimits& limits, const Take& take) {
  if (std::filesystem::is_directory(path)) {
    read_folder(path, limits, take);
  } else {
    read_file(path, limits, take);
  }
}

}  // namespace qcqa
