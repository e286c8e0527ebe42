#pragma once

#include <cstdint>
#include <span>

#include "qcqa/checkpoint/tensor_view.hpp"

namespace qcqa {

/// float32 values of 4-bit floats of which 32 share a power of two (MXFP4; Open Compute Project, "OCP Microscaling
/// Formats (MX) Specification", version 1.0, sections 5.1 and 5.3.3).
class Mxfp4Values final : public DerivedValues {
 public:
  static constexpr std::int64_t kBlock = 32;  ///< elements, in 16 bytes, the low half of a byte first

  /// @param blocks  (..., 16) bytes, in the order of the elements
  /// @param scales  a byte for each block, the exponent of its power of two plus 127
  Mxfp4Values(std::span<const std::byte> blocks, std::span<const std::byte> scales);

  void make(std::uint64_t first, std::span<std::byte> out) const override;

 private:
  std::span<const std::byte> blocks_, scales_;
};

}  // namespace qcqa
