#include "checkpoint/safetensors_reader.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <tuple>

#include "checkpoint/byte_reader.hpp"
#include "checkpoint/safetensors_header.hpp"
#include "qcqa/support/error.hpp"
#include "support/advice.hpp"
#include "support/checked.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit

/// Bytes that are no length of a header, and that people do find under this name.
void refuse_other_content(std::string_view text, const std::string& where) {
  constexpr std::string_view kRule = "must be a safetensors file";
  if (text.starts_with("PK\x03\x04"))
    throw Error(ErrorKind::corrupt, where, kRule, "a zip archive, as PyTorch writes",
                "Rename it to pytorch_model.bin.");
  const bool printable = std::ranges::all_of(
      text.substr(0, 8), [](char c) { return (c >= ' ' && c <= '~') || c == '\n' || c == '\r' || c == '\t'; });
  if (printable)
    throw Error(ErrorKind::corrupt, where, kRule, "a text, such as a page that says why not", kDownloadAgain);
}

std::string_view header_of(const MappedFile& file) {
  const std::string where = file.path().string();
  const std::uint64_t file_bytes = file.bytes().size();
  if (file_bytes < kLengthBytes) {
    throw Error(ErrorKind::corrupt, where, "a safetensors file starts with 8 bytes of header length",
                std::to_string(file_bytes) + " bytes in all", kDownloadAgain);
  }
  refuse_git_lfs_pointer(file);
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.bytes().data(), sizeof header_bytes);
  if (header_bytes > kMaxHeaderBytes) {
    refuse_other_content(as_text(file.bytes()), where);
    throw Error(ErrorKind::corrupt, where, "the header must not be longer than 100000000 bytes",
                std::to_string(header_bytes), "Check that this is a safetensors file.");
  }
  const auto data_begin = checked_add(header_bytes, kLengthBytes);
  if (!data_begin || *data_begin > file_bytes) {
    throw Error(ErrorKind::corrupt, where, "the header must lie within the file",
                std::to_string(header_bytes) + " bytes of header in a file of " + std::to_string(file_bytes),
                kDownloadAgain);
  }
  return as_text(file.bytes().subspan(kLengthBytes, header_bytes));
}

[[noreturn]] void refuse(const MappedFile& file, const SafetensorsEntry& entry, std::string_view rule,
                         std::string_view found) {
  throw Error(ErrorKind::corrupt, file.path().string() + ": tensor " + in_quotes(entry.name), rule, found,
              kDownloadAgain);
}

void check_order(const MappedFile& file, const std::vector<SafetensorsEntry>& sorted) {
  std::uint64_t expected = 0;
  for (const SafetensorsEntry& entry : sorted) {
    if (entry.end < entry.begin) {
      refuse(file, entry, "data_offsets must not run backwards",
             std::to_string(entry.begin) + " to " + std::to_string(entry.end));
    }
    if (entry.begin > expected) {
      refuse(file, entry, "tensors must follow one another without holes",
             "a start at " + std::to_string(entry.begin) + " instead of " + std::to_string(expected));
    }
    if (entry.begin < expected) {
      refuse(file, entry, "tensors must not overlap",
             "a start at " + std::to_string(entry.begin) + " where the tensor before it ends at " +
                 std::to_string(expected));
    }
    expected = entry.end;
  }
}

std::optional<std::uint64_t> bits_of(const SafetensorsEntry& entry) {
  std::optional<std::uint64_t> count = 1;
  for (const std::int64_t extent : entry.shape) {
    if (count) count = checked_multiply(*count, static_cast<std::uint64_t>(extent));
  }
  return count ? checked_multiply(*count, static_cast<std::uint64_t>(dtype_bits(entry.dtype))) : std::nullopt;
}

void check_size(const MappedFile& file, const SafetensorsEntry& entry) {
  const auto bits = bits_of(entry);
  if (!bits) refuse(file, entry, "the size of a tensor must fit in 64 bits", "a shape that overflows");
  if (*bits % 8 != 0) {
    refuse(file, entry, "a tensor must fill whole bytes",
           std::to_string(*bits) + " bits of " + std::string(dtype_name(entry.dtype)));
  }
  if (entry.end - entry.begin != *bits / 8) {
    refuse(file, entry, "data_offsets must agree with dtype and shape",
           std::to_string(entry.end - entry.begin) + " bytes instead of " + std::to_string(*bits / 8));
  }
}

}  // namespace

void refuse_git_lfs_pointer(const MappedFile& file) {
  if (!as_text(file.bytes()).starts_with("version https://git-lfs.github.com/spec/")) return;
  throw Error(ErrorKind::not_found, file.path().string(), "the weights have not been downloaded", "a git-lfs pointer",
              "Run `git lfs pull` in that folder.");
}

std::vector<TensorView> read_safetensors(const MappedFile& file) {
  const std::string_view header = header_of(file);
  std::vector<SafetensorsEntry> entries = parse_safetensors_header(header, file.path().string());
  std::ranges::sort(entries, {}, [](const SafetensorsEntry& e) { return std::tuple(e.begin, e.end); });
  check_order(file, entries);
  for (const SafetensorsEntry& entry : entries) check_size(file, entry);

  // Offsets are ordered and contiguous now, so the last end is the only one to hold against the
  // file's size.
  const std::uint64_t data_begin = kLengthBytes + header.size();
  const std::uint64_t data_bytes = file.bytes().size() - data_begin;
  const std::uint64_t described = entries.empty() ? 0 : entries.back().end;
  if (described != data_bytes) {
    throw Error(ErrorKind::corrupt, file.path().string(),
                described > data_bytes ? "the file must hold all its tensors" : "no bytes may follow the last tensor",
                std::to_string(data_bytes) + " bytes of data where the header describes " + std::to_string(described),
                kDownloadAgain);
  }

  std::vector<TensorView> views;
  views.reserve(entries.size());
  for (SafetensorsEntry& entry : entries) {
    views.push_back({.name = std::move(entry.name),
                     .dtype = entry.dtype,
                     .shape = std::move(entry.shape),
                     .stored = file.bytes().subspan(data_begin + entry.begin, entry.end - entry.begin),
                     .file = file.path(),
                     .file_offset = data_begin + entry.begin});
  }
  return views;
}

}  // namespace qcqa
