#include "text/tokenizer_cache.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>

namespace qcqa {
namespace {

namespace fs = std::filesystem;

/// A file as it was read; nothing where there is none.
struct FileStamp {
  fs::path file;
  std::optional<std::pair<std::uintmax_t, fs::file_time_type>> size_and_time;

  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

std::vector<FileStamp> stamps_of(const fs::path& model) {
  std::vector<FileStamp> stamps = {{model, std::nullopt}};  // as it is spelled: messages name it so
  for (fs::path& file : tokenizer_files(fs::absolute(model))) {
    FileStamp& stamp = stamps.emplace_back();
    std::error_code no_size, no_time;
    const std::uintmax_t size = fs::file_size(file, no_size);
    const fs::file_time_type time = fs::last_write_time(file, no_time);
    if (!no_size && !no_time) stamp.size_and_time = {size, time};
    stamp.file = std::move(file);
  }
  return stamps;
}

/// File systems count time in steps: what was written just now can be written again and have the same stamp.
bool are_settled(const std::vector<FileStamp>& stamps) {
  const fs::file_time_type limit = fs::file_time_type::clock::now() - std::chrono::seconds(1);
  return std::ranges::all_of(
      stamps, [&](const FileStamp& stamp) { return !stamp.size_and_time || stamp.size_and_time->second < limit; });
}

}  // namespace

std::shared_ptr<const TokenizerDescription> described_tokenizer(const fs::path& model) {
  static std::mutex mutex;
  static std::vector<FileStamp> last_stamps;
  static std::shared_ptr<const TokenizerDescription> last;
  // Held while reading too: whoever asks at the same time waits for it.
  const std::scoped_lock lock(mutex);
  std::vector<FileStamp> stamps = stamps_of(model);  // before reading: what changes meanwhile is read again
  if (last && stamps == last_stamps) return last;
  auto description = std::make_shared<const TokenizerDescription>(describe_tokenizer(model));
  if (are_settled(stamps)) {
    last = description;
    last_stamps = std::move(stamps);
  }
  return description;
}

}  // namespace qcqa
