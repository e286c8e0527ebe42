#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "qcqa/checkpoint/tensor_view.hpp"

namespace qcqa {

// What is not finite spreads: one such weight makes every result not a number. So nothing that reads values takes one,
// and nothing that writes them passes one on.

/// Throws Error(corrupt) unless all values are finite; names the tensor and the first that is not. Integers
/// always are. Reads everything, in parallel.
void require_finite(const TensorView& tensor);

/// @param element  index in row-major order
[[noreturn]] void refuse_not_finite(const TensorView& tensor, std::uint64_t element, double value);

/// "[3, 7]"
[[nodiscard]] std::string element_place(std::span<const std::int64_t> shape, std::uint64_t element);

/// "0.5", "infinity", "not a number"
[[nodiscard]] std::string value_in_words(double value);

/// Whether a tensor of this name is a buffer that the classes compute themselves, whatever a checkpoint stores: old
/// ones hold a mask of minus infinity.
[[nodiscard]] bool is_computed_buffer(std::string_view name) noexcept;

}  // namespace qcqa
