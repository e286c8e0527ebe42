#include "qcqa/checkpoint/checkpoint.hpp"

#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>

#include "checkpoint/gguf.hpp"
#include "checkpoint/mapped_file.hpp"
#include "checkpoint/pytorch_reader.hpp"
#include "checkpoint/safetensors_reader.hpp"
#include "checkpoint/shard_index.hpp"
#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"
#include "support/nearest.hpp"

namespace fs = std::filesystem;

namespace qcqa {

struct Checkpoint::State {
  fs::path path;
  CheckpointFormat format{};
  std::vector<std::shared_ptr<const MappedFile>> maps;
  std::vector<TensorView> tensors;
  std::vector<fs::path> files;
  std::vector<std::string> notes;
  std::uint64_t total_bytes = 0;

  void take(std::vector<TensorView> views) {
    tensors = std::move(views);
    std::ranges::sort(tensors, {}, &TensorView::name);
    const auto twice = std::ranges::adjacent_find(tensors, {}, &TensorView::name);
    if (twice != tensors.end())
      throw Error(ErrorKind::corrupt, path.string(), "every tensor must have a name of its own", "two " + in_quotes(twice->name));
    total_bytes = 0;
    for (const TensorView& view : tensors) total_bytes += view.stored.size();
  }
};

namespace {

/// What a folder is searched for, in this order.
struct Candidate {
  std::string_view name;
  CheckpointFormat format;
  bool is_index;
};
constexpr std::array<Candidate, 4> kCandidates{{
    {"model.safetensors.index.json", CheckpointFormat::safetensors, true},
    {"model.safetensors", CheckpointFormat::safetensors, false},
    {"pytorch_model.bin.index.json", CheckpointFormat::pytorch, true},
    {"pytorch_model.bin", CheckpointFormat::pytorch, false},
}};

std::string accepted_names() {
  std::string text;
  for (const Candidate& candidate : kCandidates)
    text.append(text.empty() ? "" : ", ").append(candidate.name);
  return text;
}

bool starts_with(const MappedFile& file, std::string_view magic) {
  const auto bytes = file.bytes();
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())
      .starts_with(magic);
}

CheckpointFormat format_of(const MappedFile& file) {
  refuse_git_lfs_pointer(file);
  const std::string extension = file.path().extension().string();
  const bool pytorch_name = extension == ".bin" || extension == ".pt" || extension == ".pth";
  const bool pytorch_magic = starts_with(file, "PK\x03\x04") || starts_with(file, "\x80\x02");
  return pytorch_name || pytorch_magic ? CheckpointFormat::pytorch : CheckpointFormat::safetensors;
}

std::vector<TensorView> read_file(const MappedFile& file, CheckpointFormat format) {
  return format == CheckpointFormat::safetensors ? read_safetensors(file) : read_pytorch(file);
}

[[noreturn]] void refuse_folder(const fs::path& folder) {
  std::string found = "nothing of the kind";
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".gguf")
      found = "only GGUF (" + entry.path().filename().string() + ")";
  }
  if (error)
    throw Error(ErrorKind::io, folder.string(), "the folder cannot be listed", error.message());
  throw Error(ErrorKind::not_found, folder.string(), "the folder must hold a checkpoint", found,
              "Accepted: " + accepted_names() + ".");
}

std::vector<std::string> missing_files(const fs::path& folder, const std::set<std::string>& names) {
  std::vector<std::string> missing;
  for (const std::string& name : names) {
    std::error_code error;
    if (!fs::exists(folder / name, error)) missing.push_back(name);
  }
  return missing;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text.append(text.empty() ? "" : ", ").append(name);
  return text;
}

/// The opened shards of an index.
struct Shards {
  std::vector<std::shared_ptr<const MappedFile>> maps;
  std::vector<TensorView> tensors;
};

Shards open_shards(const fs::path& index, CheckpointFormat format) {
  const std::map<std::string, std::string> weight_map = read_shard_index(index);
  std::set<std::string> names;
  for (const auto& [tensor, file] : weight_map) names.insert(file);
  if (const auto missing = missing_files(index.parent_path(), names); !missing.empty()) {
    throw Error(ErrorKind::not_found, index.string(),
                "every shard of the index must be in its folder",
                std::to_string(missing.size()) + " of " + std::to_string(names.size()) +
                    " missing: " + joined(missing),
                "Download the missing files.");
  }

  Shards shards;
  std::set<std::string_view> found;
  for (const std::string& name : names) {
    const auto map = std::make_shared<const MappedFile>(index.parent_path() / name);
    shards.maps.push_back(map);
    for (TensorView& view : read_file(*map, format)) {
      // The index decides: what it does not name, or names in another shard, is not part of the
      // checkpoint.
      const auto entry = weight_map.find(view.name);
      if (entry == weight_map.end() || entry->second != name) continue;
      found.insert(entry->first);
      shards.tensors.push_back(std::move(view));
    }
  }
  for (const auto& [tensor, file] : weight_map) {
    if (found.contains(tensor)) continue;
    throw Error(ErrorKind::corrupt, index.string(),
                "a shard must hold the tensors that the index places in it",
                "no tensor " + in_quotes(tensor) + " in " + file,
                "Index and shards do not belong together: download again.");
  }
  return shards;
}

}  // namespace

Checkpoint::Checkpoint(std::shared_ptr<const State> state) : state_(std::move(state)) {}

Checkpoint Checkpoint::open(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status))
    throw Error(ErrorKind::not_found, path.string(), "no such file or folder");

  auto state = std::make_shared<State>();
  state->path = path;
  fs::path file = path;
  bool is_index = path.extension() == ".json";
  std::optional<CheckpointFormat> format;
  if (fs::is_directory(status)) {
    const auto* candidate = std::ranges::find_if(
        kCandidates, [&](const Candidate& c) { return fs::exists(path / c.name, error); });
    if (candidate == kCandidates.end()) refuse_folder(path);
    file = path / candidate->name;
    is_index = candidate->is_index;
    format = candidate->format;
  }

  if (is_index) {
    if (!format) {
      format = path.filename().string().find(".bin.") == std::string::npos
                   ? CheckpointFormat::safetensors
                   : CheckpointFormat::pytorch;
    }
    Shards shards = open_shards(file, *format);
    state->files.push_back(file);
    state->maps = std::move(shards.maps);
    state->tensors = std::move(shards.tensors);
  } else {
    const auto map = std::make_shared<const MappedFile>(file);
    if (!format && starts_with(*map, "GGUF")) return of(read_gguf(file));
    if (!format) format = format_of(*map);
    state->maps.push_back(map);
    state->tensors = read_file(*map, *format);
  }
  state->format = *format;
  for (const auto& map : state->maps) state->files.push_back(map->path());
  state->take(std::move(state->tensors));
  return Checkpoint(std::move(state));
}

Checkpoint Checkpoint::of(const GgufFile& file) {
  auto state = std::make_shared<State>();
  state->path = file.file->path();
  state->format = CheckpointFormat::gguf;
  state->maps = {file.file};
  state->files = {file.file->path()};
  state->take(file.tensors);
  return Checkpoint(std::move(state));
}

Checkpoint Checkpoint::seen_as(std::vector<TensorView> views) const {
  auto state = std::make_shared<State>(*state_);
  state->take(std::move(views));
  return Checkpoint(std::move(state));
}

Checkpoint Checkpoint::with(const Checkpoint& other) const {
  auto state = std::make_shared<State>(*state_);
  state->maps.insert(state->maps.end(), other.state_->maps.begin(), other.state_->maps.end());
  state->files.insert(state->files.end(), other.state_->files.begin(), other.state_->files.end());
  for (const TensorView& replacement : other.tensors()) {
    const TensorView& own = at(replacement.name);
    if (own.shape != replacement.shape) {
      throw Error(ErrorKind::invalid_argument, replacement.file.string() + ": " + replacement.name,
                  "a tensor must have the shape of the one that it replaces");
    }
    TensorView& place = state->tensors[static_cast<std::size_t>(&own - state_->tensors.data())];
    state->total_bytes += replacement.stored.size() - place.stored.size();
    place = replacement;
  }
  return Checkpoint(std::move(state));
}

const fs::path& Checkpoint::path() const noexcept { return state_->path; }

CheckpointFormat Checkpoint::format() const noexcept { return state_->format; }

std::span<const TensorView> Checkpoint::tensors() const noexcept { return state_->tensors; }

const TensorView* Checkpoint::find(std::string_view name) const noexcept {
  const auto& tensors = state_->tensors;
  const auto found = std::ranges::lower_bound(
      tensors, name, {}, [](const TensorView& v) -> std::string_view { return v.name; });
  return found != tensors.end() && found->name == name ? &*found : nullptr;
}

const TensorView& Checkpoint::at(std::string_view name) const {
  if (const TensorView* view = find(name)) return *view;
  std::vector<std::string_view> names;
  for (const TensorView& view : state_->tensors) names.push_back(view.name);
  throw Error(ErrorKind::not_found, state_->path.string(),
              "no tensor " + in_quotes(name) + " in the checkpoint", {}, did_you_mean(name, names));
}

std::uint64_t Checkpoint::total_bytes() const noexcept { return state_->total_bytes; }

std::span<const fs::path> Checkpoint::files() const noexcept { return state_->files; }

std::span<const std::string> Checkpoint::notes() const noexcept { return state_->notes; }

namespace {

enum class Rounding { outwards, inwards };

/// madvise wants whole pages.
void advise(std::span<const std::byte> bytes, int advice, Rounding rounding) noexcept {
  if (bytes.empty()) return;
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  auto end = begin + bytes.size();
  if (rounding == Rounding::outwards) {
    begin -= begin % page;
  } else {
    begin += (page - begin % page) % page;
    end -= end % page;
  }
  if (begin < end) (void)::madvise(reinterpret_cast<void*>(begin), end - begin, advice);
}

}  // namespace

void Checkpoint::will_read(std::span<const std::byte> bytes) noexcept {
  advise(bytes, MADV_WILLNEED, Rounding::outwards);
}

void Checkpoint::done_with(std::span<const std::byte> bytes) noexcept {
  // Pages shared with a neighbouring tensor stay. Dropped pages come back from the file when they
  // are read again.
  advise(bytes, MADV_DONTNEED, Rounding::inwards);
}

}  // namespace qcqa
