#include "qcqa/checkpoint/writer.hpp"

#include <algorithm>
#include <string>
#include <unordered_map>

#include "checkpoint/file_handle.hpp"
#include "checkpoint/shard_layout.hpp"
#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

/// Bytes per request: large enough to stream, small enough that the source's mapped pages can be
/// let go as they go.
constexpr std::uint64_t kChunk = 16u << 20;

struct Target {
  const FileHandle* file = nullptr;
  std::uint64_t begin = 0;
  std::uint64_t size = 0;
  std::uint64_t written = 0;  ///< touched only by the thread that writes this tensor
  Dtype dtype{};
};

std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace

struct CheckpointWriter::State {
  std::filesystem::path folder;
  std::vector<TensorSpec> specs;
  std::vector<ShardLayout> shards;
  std::vector<FileHandle> files;
  std::unordered_map<std::string_view, Target> targets;  ///< keys point into specs

  Target& target(std::string_view name) {
    const auto found = targets.find(name);
    if (found == targets.end()) {
      throw Error(ErrorKind::invalid_argument, "tensor " + in_quotes(name),
                  "must be declared before it is written");
    }
    return found->second;
  }
};

CheckpointWriter::CheckpointWriter(const std::filesystem::path& folder,
                                   std::vector<TensorSpec> specs, const WriterOptions& options)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.folder = folder;
  state.specs = std::move(specs);
  state.shards = lay_out_shards(state.specs, options);
  state.files.reserve(state.shards.size());  // targets keep pointers to the handles
  for (ShardLayout& shard : state.shards) {
    const FileHandle& file = state.files.emplace_back(FileHandle::create(folder / shard.file_name));
    file.reserve(shard.file_bytes);
    file.write_at(as_bytes(shard.header), 0);
    std::string().swap(shard.header);
    for (const ShardLayout::Place& place : shard.places) {
      const TensorSpec& spec = state.specs[place.spec];
      state.targets.emplace(
          spec.name,
          Target{
              .file = &file, .begin = place.begin, .size = place.byte_count, .dtype = spec.dtype});
    }
  }
}

CheckpointWriter::~CheckpointWriter() = default;

void CheckpointWriter::write(std::string_view name, std::span<const std::byte> bytes,
                             std::uint64_t offset) {
  Target& target = state_->target(name);
  const std::string where = "tensor " + in_quotes(name);
  if (offset != target.written) {
    throw Error(
        ErrorKind::invalid_argument, where, "parts must come in rising order without gaps",
        "offset " + std::to_string(offset) + " after " + std::to_string(target.written) + " bytes");
  }
  if (bytes.size() > target.size - target.written) {
    throw Error(
        ErrorKind::invalid_argument, where, "must not be longer than declared",
        std::to_string(offset + bytes.size()) + " bytes instead of " + std::to_string(target.size));
  }
  while (!bytes.empty()) {
    const auto chunk = bytes.first(std::min<std::size_t>(bytes.size(), kChunk));
    const std::uint64_t at = target.begin + target.written;
    target.file->write_at(chunk, at);
    target.file->start_flush(at, chunk.size());
    target.written += chunk.size();
    bytes = bytes.subspan(chunk.size());
  }
}

void CheckpointWriter::copy(std::string_view name, const TensorView& source) {
  Target& target = state_->target(name);
  const std::string where = "tensor " + in_quotes(name);
  if (source.dtype != target.dtype) {
    throw Error(ErrorKind::invalid_argument, where, "a copy must have the declared dtype",
                std::string(dtype_name(source.dtype)) + " instead of " +
                    std::string(dtype_name(target.dtype)));
  }
  if (source.bytes.size() != target.size) {
    throw Error(
        ErrorKind::invalid_argument, where, "a copy must have the declared size",
        std::to_string(source.bytes.size()) + " bytes instead of " + std::to_string(target.size));
  }
  if (target.written != 0) {
    throw Error(ErrorKind::invalid_argument, where, "must be written once",
                "a copy after " + std::to_string(target.written) + " bytes");
  }
  if (target.size == 0) return;

  const FileHandle file = FileHandle::open_for_reading(source.file);
  while (target.written < target.size) {
    const std::uint64_t at = target.begin + target.written;
    const std::uint64_t wanted = std::min(target.size - target.written, kChunk);
    const std::uint64_t copied =
        target.file->copy_from(file, source.file_offset + target.written, at, wanted);
    target.file->start_flush(at, copied);
    target.written += copied;
    if (copied < wanted) break;
  }
  while (target.written < target.size) {
    const auto chunk =
        source.bytes.subspan(target.written, std::min(target.size - target.written, kChunk));
    write(name, chunk, target.written);
    Checkpoint::done_with(chunk);
  }
}

void CheckpointWriter::finish() {
  State& state = *state_;
  for (const TensorSpec& spec : state.specs) {
    const Target& target = state.target(spec.name);
    if (target.written == target.size) continue;
    throw Error(ErrorKind::internal, "tensor " + in_quotes(spec.name),
                "every tensor must be written completely",
                std::to_string(target.written) + " of " + std::to_string(target.size) + " bytes");
  }
  for (const FileHandle& file : state.files) file.flush();
  const std::string index = index_text(state.specs, state.shards);
  if (!index.empty()) write_file_atomically(state.folder / kIndexFileName, index);
  flush_folder(state.folder);
}

}  // namespace qcqa
