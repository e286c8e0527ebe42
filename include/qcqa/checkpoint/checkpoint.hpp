#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "qcqa/checkpoint/tensor_view.hpp"

namespace qcqa {

enum class CheckpointFormat { safetensors, pytorch, gguf };

struct GgufFile;

/// A validated, memory-mapped set of named tensors: `model.safetensors[.index.json]` or
/// `pytorch_model.bin[.index.json]` in a folder, or one such file.
///
/// Opening reads and checks headers only; no tensor byte is touched. Safe for concurrent reads.
/// Copies share the maps.
class Checkpoint {
 public:
  /// @param path  a folder (which of its files counts is decided as in transformers) or a file
  /// @throws Error(not_found, corrupt, unsupported, io), one message per rule of the format
  [[nodiscard]] static Checkpoint open(const std::filesystem::path& path);

  /// The tensors of a GGUF file, under their names there.
  [[nodiscard]] static Checkpoint of(const GgufFile& file);

  [[nodiscard]] const std::filesystem::path& path() const noexcept;
  [[nodiscard]] CheckpointFormat format() const noexcept;

  /// This checkpoint with the tensors of `other` in the place of its own of the same names.
  /// @throws Error(invalid_argument) for a tensor that is not here, or has another shape here
  [[nodiscard]] Checkpoint with(const Checkpoint& other) const;

  /// The same files seen as other tensors: under other names, with derived values, some left out.
  /// @param views  of tensors of this checkpoint
  /// @throws Error(corrupt) when two have one name
  [[nodiscard]] Checkpoint seen_as(std::vector<TensorView> views) const;

  /// Every tensor, sorted by name.
  [[nodiscard]] std::span<const TensorView> tensors() const noexcept;

  /// The tensor, or nullptr.
  [[nodiscard]] const TensorView* find(std::string_view name) const noexcept;

  /// @throws Error(not_found) with the nearest existing name as a hint
  [[nodiscard]] const TensorView& at(std::string_view name) const;

  /// Sum of all tensors' bytes.
  [[nodiscard]] std::uint64_t total_bytes() const noexcept;

  /// The files that hold the tensors, index first when there is one.
  [[nodiscard]] std::span<const std::filesystem::path> files() const noexcept;

  /// What was decided while opening that somebody should know, a sentence each: which of two files counts, and the
  /// like.
  [[nodiscard]] std::span<const std::string> notes() const noexcept;

  /// Hint that these bytes will soon be read front to back (madvise). Never fails.
  static void will_read(std::span<const std::byte> bytes) noexcept;
  /// Hint that these bytes are no longer needed in memory. Never fails.
  static void done_with(std::span<const std::byte> bytes) noexcept;

 private:
  struct State;
  explicit Checkpoint(std::shared_ptr<const State> state);
  std::shared_ptr<const State> state_;
};

}  // namespace qcqa
