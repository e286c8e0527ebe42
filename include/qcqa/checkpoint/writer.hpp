#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "qcqa/checkpoint/checkpoint.hpp"
#include "qcqa/checkpoint/dtype.hpp"

namespace qcqa {

struct TensorSpec {
  std::string name;
  Dtype dtype{};
  std::vector<std::int64_t> shape;
};

struct WriterOptions {
  std::uint64_t max_shard_bytes = 5'000'000'000;  ///< tensor bytes per shard; a larger tensor gets a shard of its own
};

/// The files that `CheckpointWriter` will write for these tensors, and their sizes: for --dry-run and space checks.
struct ShardPlan {
  struct Shard {
    std::string file_name;             ///< model.safetensors or model-00001-of-00003.safetensors
    std::uint64_t file_bytes = 0;      ///< header included
    std::vector<std::size_t> tensors;  ///< indices into the specs, in file order
  };
  std::vector<Shard> shards;
  std::uint64_t tensor_bytes = 0;
  std::uint64_t total_file_bytes = 0;  ///< index file included
};
[[nodiscard]] ShardPlan plan_shards(std::span<const TensorSpec> specs, const WriterOptions& options = {});

/// Takes the bytes of tensors that were declared before.
class TensorSink {
 public:
  virtual ~TensorSink() = default;

  /// Writes `bytes` at byte `offset` of the tensor. Parts of one tensor must come in rising order without gaps.
  /// Different tensors may be written from different threads.
  virtual void write(std::string_view name, std::span<const std::byte> bytes, std::uint64_t offset = 0) = 0;

  /// Copies a whole tensor of another checkpoint, without bringing it into this process where the system can.
  /// @throws Error(invalid_argument) when dtype or byte count differ from the spec
  virtual void copy(std::string_view name, const TensorView& source) = 0;

  /// Checks that every byte of every tensor was written, flushes to disk.
  /// @throws Error(internal) naming the first incomplete tensor
  virtual void finish() = 0;
};

/// Streams a safetensors checkpoint into an existing folder. All tensors are declared first, so that headers and
/// offsets are final before the first tensor byte is written; bytes may then come in any order and in parts.
/// Needs no more memory than the caller's buffers.
class CheckpointWriter : public TensorSink {
 public:
  /// Creates the shard files at full size with their headers (and reserves the disk space).
  /// @throws Error(io) full disk, no permission; Error(invalid_argument) duplicate names, byte counts that overflow
  CheckpointWriter(const std::filesystem::path& folder, std::vector<TensorSpec> specs,
                   const WriterOptions& options = {});
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;
  ~CheckpointWriter() override;

  void write(std::string_view name, std::span<const std::byte> bytes, std::uint64_t offset = 0) override;
  void copy(std::string_view name, const TensorView& source) override;
  /// Writes the index too.
  void finish() override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qcqa
