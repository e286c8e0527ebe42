#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "qcqa/checkpoint/writer.hpp"

namespace qcqa {

/// Where everything goes in one shard file.
struct ShardLayout {
  struct Entry {
    std::size_t spec = 0;     ///< index into the specs
    std::uint64_t begin = 0;  ///< offset in the file, header included
    std::uint64_t byte_count = 0;
  };
  std::string file_name;
  std::string header;          ///< length prefix, JSON and padding: the first bytes of the file
  std::vector<Entry> entries;  ///< in file order, without gaps
  std::uint64_t file_bytes = 0;
};

/// Lays out all shards. Every shard takes a run of the name-sorted tensors. Within a file wider
/// element types come first, then names: so every tensor is aligned to its element size, which the
/// format does not ask for but readers that hand out views of the file are glad of. (With a single
/// dtype this is plain name order.)
/// @throws Error(invalid_argument) for duplicate or unwritable names and sizes that do not fit
[[nodiscard]] std::vector<ShardLayout> lay_out_shards(std::span<const TensorSpec> specs, const WriterOptions& options);

inline constexpr const char* kIndexFileName = "model.safetensors.index.json";

/// The index of several shards; empty for a single one, which needs none.
[[nodiscard]] std::string index_text(std::span<const TensorSpec> specs, std::span<const ShardLayout> shards);

}  // namespace qcqa
