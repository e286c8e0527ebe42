#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "qcqa/checkpoint/tensor_view.hpp"

namespace qcqa {

/// The values of a tensor whose elements do not follow one another in memory: transposed, expanded, a part of the
/// columns of another.
class StridedValues final : public DerivedValues {
 public:
  /// @param memory   from the tensor's first element to its last at least
  /// @param strides  in elements, one per extent
  StridedValues(std::span<const std::byte> memory, std::size_t element_bytes, std::vector<std::int64_t> shape,
                std::vector<std::int64_t> strides);

  void make(std::uint64_t first, std::span<std::byte> out) const override;

 private:
  std::span<const std::byte> memory_;
  std::size_t element_bytes_;
  std::vector<std::int64_t> shape_, strides_;
};

}  // namespace qcqa
