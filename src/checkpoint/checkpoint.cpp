#include "qcqa/checkpoint/checkpoint.hpp"

#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <map>
#include <set>

#include "checkpoint/file_handle.hpp"
#include "checkpoint/gguf.hpp"
#include "checkpoint/mapped_file.hpp"
#include "checkpoint/pytorch_reader.hpp"
#include "checkpoint/safetensors_reader.hpp"
#include "checkpoint/shard_index.hpp"
#include "checkpoint/weight_files.hpp"
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
      throw Error(ErrorKind::corrupt, path.string(), "every tensor must have a name of its own",
                  "two " + in_quotes(twice->name));
    total_bytes = 0;
    for (const TensorView& view : tensors) total_bytes += view.stored.size();
  }
};

namespace {

bool starts_with(const MappedFile& file, std::string_view magic) {
  const auto bytes = file.bytes();
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()).starts_with(magic);
}

CheckpointFormat format_of(const MappedFile& file) {
  refuse_git_lfs_pointer(file);
  const std::string extension = file.path().extension().string();
  const bool pytorch_name = extension == ".bin" || extension == ".pt" || extension == ".pth";
  const bool pytorch_magic = starts_with(file, "PK\x03\x04") || starts_with(file, "\x80\x02");
  return pytorch_name || pytorch_magic ? CheckpointFormat::pytorch : CheckpointFormat::safetensors;
}

/// A shard's own name says what it is, as in transformers, whatever its index is called.
CheckpointFormat format_of_shard(const MappedFile& file) {
  return file.path().extension() == ".safetensors" ? CheckpointFormat::safetensors : format_of(file);
}

std::vector<TensorView> read_file(const MappedFile& file, CheckpointFormat format) {
  return format == CheckpointFormat::safetensors ? read_safetensors(file) : read_pytorch(file);
}

std::vector<std::string> missing_files(const fs::path& folder, const std::set<std::string>& names) {
  std::vector<std::string> missing;
  for (const std::string& name : names) {
    std::error_code error;
    if (!fs::exists(fs::symlink_status(folder / name, error))) missing.push_back(name);
  }
  return missing;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text.append(text.empty() ? "" : ", ").append(name);
  return text;
}

/// What the shards of an index hold together.
struct Shards {
  CheckpointFormat format{};
  std::vector<std::shared_ptr<const MappedFile>> maps;
  std::vector<TensorView> tensors;
  std::vector<std::string> notes;
};

/// Opens everything that the shards of an index hold. As in transformers, the index only says which files there are: a
/// tensor that it forgot counts, one that no shard has is for the model to miss, and of two of one name the last file's
/// counts.
Shards open_shards(const fs::path& index) {
  std::set<std::string> names;
  for (const auto& [tensor, file] : read_shard_index(index)) names.insert(file);
  if (names.empty()) throw Error(ErrorKind::corrupt, index.string(), "an index must name a shard", "none");
  if (const auto missing = missing_files(index.parent_path(), names); !missing.empty()) {
    throw Error(ErrorKind::not_found, index.string(), "every shard of the index must be in its folder",
                std::to_string(missing.size()) + " of " + std::to_string(names.size()) + " missing: " + joined(missing),
                "Download the missing files.");
  }

  Shards shards;
  std::map<std::string, TensorView, std::less<>> tensors;
  std::vector<std::string> repeated;
  for (const std::string& name : names) {
    const auto map = std::make_shared<const MappedFile>(index.parent_path() / name);
    const CheckpointFormat format = format_of_shard(*map);
    if (shards.maps.empty()) shards.format = format;
    shards.maps.push_back(map);
    for (TensorView& view : read_file(*map, format)) {
      if (tensors.contains(view.name)) repeated.push_back(view.name);
      tensors.insert_or_assign(view.name, std::move(view));
    }
  }
  if (!repeated.empty()) {
    const TensorView& counts = tensors.at(repeated.front());
    shards.notes.push_back("several shards hold " + in_quotes(counts.name) +
                           (repeated.size() > 1 ? " (and " + std::to_string(repeated.size() - 1) + " more)" : "") +
                           ": that of the last file counts, " + counts.file.filename().string() +
                           ", as in transformers");
  }
  for (auto& [name, view] : tensors) shards.tensors.push_back(std::move(view));
  return shards;
}

}  // namespace

Checkpoint::Checkpoint(std::shared_ptr<const State> state) : state_(std::move(state)) {}

Checkpoint Checkpoint::open(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) (void)FileHandle::open_for_reading(path);  // says why not

  auto state = std::make_shared<State>();
  state->path = path;
  WeightFile weights{path, is_index_name(path.filename().string()), {}};
  if (fs::is_directory(status)) weights = choose_weight_file(path);
  state->notes = std::move(weights.notes);

  if (weights.is_index) {
    state->files.push_back(weights.path);
    Shards shards = open_shards(weights.path);
    state->format = shards.format;
    state->maps = std::move(shards.maps);
    state->tensors = std::move(shards.tensors);
    std::ranges::move(shards.notes, std::back_inserter(state->notes));
  } else {
    const auto map = std::make_shared<const MappedFile>(weights.path);
    if (starts_with(*map, "GGUF")) return of(read_gguf(weights.path));
    state->format = format_of_shard(*map);
    state->maps.push_back(map);
    state->tensors = read_file(*map, state->format);
  }
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
  const auto found =
      std::ranges::lower_bound(tensors, name, {}, [](const TensorView& v) -> std::string_view { return v.name; });
  return found != tensors.end() && found->name == name ? &*found : nullptr;
}

const TensorView& Checkpoint::at(std::string_view name) const {
  if (const TensorView* view = find(name)) return *view;
  std::vector<std::string_view> names;
  for (const TensorView& view : state_->tensors) names.push_back(view.name);
  throw Error(ErrorKind::not_found, state_->path.string(), "no tensor " + in_quotes(name) + " in the checkpoint", {},
              did_you_mean(name, names));
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
