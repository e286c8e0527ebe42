#include "qcqa/text/documents.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <vector>

#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"
#include "text/corpus/lines.hpp"
#include "text/tokenizer_view.hpp"
#include "text/unicode/unicode.hpp"

namespace qcqa {
namespace {

using Take = std::function<bool(Document&&)>;

constexpr std::size_t kReadAtOnce = std::size_t{1} << 20;

void check_size(const std::string& name, std::size_t bytes, const DocumentLimits& limits) {
  if (bytes <= limits.bytes) return;
  throw Error(ErrorKind::unsupported, name, "a document has at most " + std::to_string(limits.bytes) + " bytes", {},
              "Write it as .jsonl, one document per line, or lower --max-tokens.");
}

/// Drops what lies behind the bytes wanted, and the character that the cut may go through. Returns whether it did.
bool cut(std::string& text, std::size_t wanted) {
  if (text.size() <= wanted) return false;
  text.resize(wanted);
  for (int tail = 0; tail < 3 && !text.empty() && (text.back() & 0xC0) == 0x80; ++tail) text.pop_back();
  if (!text.empty() && (text.back() & 0x80) != 0) text.pop_back();
  return true;
}

std::string text_of_line(const std::string& line, const std::string& where, const std::string& field) {
  const nlohmann::json document = object_of_line(line, where, "One document per line: {\"text\": \"...\"}.");
  const auto text = document.find(field);
  if (text == document.end()) throw Error(ErrorKind::corrupt, where, "must have a member " + in_quotes(field));
  if (!text->is_string()) {
    throw Error(ErrorKind::corrupt, where, in_quotes(field) + " must be a string", text->type_name());
  }
  return text->get<std::string>();
}

bool read_lines(const std::filesystem::path& file, const DocumentLimits& limits, const Take& take) {
  bool wants_more = true;
  for_each_line(file, kLongestLine, [&](const std::string& line, const std::string& where) {
    Document document{where, text_of_line(line, where, limits.field), false};
    document.is_cut = cut(document.text, limits.wanted);
    check_size(where, document.text.size(), limits);
    return wants_more = take(std::move(document));
  });
  return wants_more;
}

/// One byte more than is wanted or allowed, at most: that much tells whether there is more.
std::string read_beginning(const std::filesystem::path& file, const DocumentLimits& limits) {
  const std::size_t most = std::min(limits.wanted, limits.bytes) + 1;
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw Error(ErrorKind::io, file.string(), "the file must be readable");
  std::string text;
  for (std::size_t got = 1; got > 0 && text.size() < most;) {
    const std::size_t size = text.size();
    text.resize(std::min(most, size + kReadAtOnce));
    stream.read(text.data() + size, static_cast<std::streamsize>(text.size() - size));
    got = static_cast<std::size_t>(stream.gcount());
    text.resize(size + got);
  }
  if (stream.bad()) throw Error(ErrorKind::io, file.string(), "the file must be readable");
  return text;
}

bool read_whole(const std::filesystem::path& file, const DocumentLimits& limits, const Take& take) {
  if (!std::filesystem::exists(file)) throw Error(ErrorKind::not_found, file.string(), "no such file");
  std::string text = read_beginning(file, limits);
  const bool is_cut = cut(text, limits.wanted);
  check_size(file.string(), text.size(), limits);
  if (const auto position = invalid_utf8_at(text)) {
    throw Error(ErrorKind::corrupt, file.string(), "must be UTF-8 text",
                "something else at byte " + std::to_string(*position));
  }
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.erase(0, kByteOrderMark.size());
  return take({file.string(), std::move(text), is_cut});
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
