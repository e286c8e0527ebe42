#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "checkpoint/file_handle.hpp"
#include "checkpoint/mapped_file.hpp"
#include "checkpoint/tensor_places.hpp"
#include "qcqa/checkpoint/writer.hpp"

namespace qcqa {

/// A value of GGUF's metadata; of the format's types, those that model files need.
using GgufValue = std::variant<std::uint32_t, std::int32_t, float, bool, std::string, std::vector<std::int32_t>,
                               std::vector<float>, std::vector<std::string>>;

/// Keys and values in the order of the file.
using GgufMetadata = std::vector<std::pair<std::string, GgufValue>>;

/// Everything of a GGUF file (version 3, see ggml's docs/gguf.md) before the tensors' bytes.
struct GgufLayout {
  std::string header;                ///< the first bytes of the file, padded up to the tensors
  std::vector<std::uint64_t> begin;  ///< per tensor, in the file
  std::vector<std::uint64_t> size;   ///< bytes per tensor
  std::uint64_t file_bytes = 0;
};

/// @throws Error(invalid_argument) for names used twice; Error(unsupported) for a type other than F32, F16 and BF16
[[nodiscard]] GgufLayout lay_out_gguf(const GgufMetadata& metadata, std::span<const TensorSpec> specs);

/// Streams a GGUF file, as CheckpointWriter does a safetensors one.
class GgufWriter : public TensorSink {
 public:
  /// Creates the file at full size with its header. @throws Error(io) and what lay_out_gguf throws
  GgufWriter(const std::filesystem::path& file, const GgufMetadata& metadata, std::span<const TensorSpec> specs);

  void write(std::string_view name, std::span<const std::byte> bytes, std::uint64_t offset = 0) override;
  void copy(std::string_view name, const TensorView& source) override;
  void finish() override;

 private:
  FileHandle file_;
  TensorPlaces places_;
};

/// A GGUF file, mapped. Integers of any width read as the nearest of GgufValue's types; numbers that need
/// 64 bits are left out, lists of lists refused. Quantised tensors have values of float32, made where they are read,
/// and are written as F16.
struct GgufFile {
  std::shared_ptr<const MappedFile> file;
  GgufMetadata metadata;
  std::vector<TensorView> tensors;  ///< in the order of the file; shapes with the slowest dimension first, as elsewhere

  [[nodiscard]] const GgufValue* find(std::string_view key) const;
};

/// The type that most of a file's quantised weights have ("Q4_K"); empty without any.
[[nodiscard]] std::string main_block_type(const GgufFile& file);

/// Whether a file begins as GGUF files do. Never throws.
[[nodiscard]] bool is_gguf(const std::filesystem::path& file) noexcept;

/// Reads and checks a file: magic, version, counts, types, alignment, tensors inside the file and apart from each
/// other.
/// @throws Error(corrupt, unsupported, not_found, io)
[[nodiscard]] GgufFile read_gguf(const std::filesystem::path& file);

}  // namespace qcqa
