#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "qcqa/checkpoint/tensor_view.hpp"

namespace qcqa {

/// A type of GGUF tensors whose elements are quantised in blocks, as ggml's ggml-common.h lays them out.
struct GgufBlockType {
  std::uint32_t code = 0;
  std::string_view name;
  std::uint32_t elements = 0, bytes = 0;  ///< of a block
  void (*decode)(const std::byte* block, float* out) = nullptr;
};

/// The type with this code, or nullptr.
[[nodiscard]] const GgufBlockType* find_gguf_block_type(std::uint32_t code) noexcept;

/// What people call the type, for messages: "IQ2_XXS".
[[nodiscard]] std::string gguf_type_name(std::uint32_t code);

/// float32 values of blocks that lie in a file.
class GgufBlockValues final : public DerivedValues {
 public:
  /// @param blocks  whole ones
  GgufBlockValues(std::span<const std::byte> blocks, const GgufBlockType& type) : blocks_(blocks), type_(&type) {}

  void make(std::uint64_t first, std::span<std::byte> out) const override;
  [[nodiscard]] const GgufBlockType& type() const noexcept { return *type_; }

 private:
  std::span<const std::byte> blocks_;
  const GgufBlockType* type_;
};

}  // namespace qcqa
