#include "qcqa/checkpoint/writer.hpp"

#include <string>

#include "checkpoint/file_handle.hpp"
#include "checkpoint/shard_layout.hpp"
#include "checkpoint/tensor_places.hpp"
#include "qcqa/checkpoint/staged_output.hpp"

namespace qcqa {
namespace {

std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace

struct CheckpointWriter::State {
  std::filesystem::path folder;
  std::vector<TensorSpec> specs;
  std::vector<ShardLayout> shards;
  std::vector<FileHandle> files;
  TensorPlaces places;
};

CheckpointWriter::CheckpointWriter(const std::filesystem::path& folder, std::vector<TensorSpec> specs,
                                   const WriterOptions& options)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.folder = folder;
  state.specs = std::move(specs);
  state.shards = lay_out_shards(state.specs, options);
  state.files.reserve(state.shards.size());  // places keep pointers to the handles
  for (ShardLayout& shard : state.shards) {
    const FileHandle& file = state.files.emplace_back(FileHandle::create(folder / shard.file_name));
    file.reserve(shard.file_bytes);
    file.write_at(as_bytes(shard.header), 0);
    std::string().swap(shard.header);
    for (const ShardLayout::Entry& entry : shard.entries) {
      const TensorSpec& spec = state.specs[entry.spec];
      state.places.add(spec.name, spec.dtype, file, entry.begin, entry.byte_count);
    }
  }
}

CheckpointWriter::~CheckpointWriter() = default;

void CheckpointWriter::write(std::string_view name, std::span<const std::byte> bytes, std::uint64_t offset) {
  state_->places.write(name, bytes, offset);
}

void CheckpointWriter::copy(std::string_view name, const TensorView& source) { state_->places.copy(name, source); }

void CheckpointWriter::finish() {
  State& state = *state_;
  state.places.require_complete();
  for (const FileHandle& file : state.files) file.flush();
  const std::string index = index_text(state.specs, state.shards);
  if (!index.empty()) write_file_atomically(state.folder / kIndexFileName, index);
  flush_folder(state.folder);
}

}  // namespace qcqa
