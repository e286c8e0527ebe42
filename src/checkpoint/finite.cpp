#include "checkpoint/finite.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

#include "qcqa/checkpoint/float_codec.hpp"
#include "qcqa/support/error.hpp"
#include "support/parallel.hpp"

namespace qcqa {
namespace {

constexpr std::uint64_t kPiece = 1 << 18;  // elements

constexpr std::array<std::string_view, 3> kComputedBuffers = {".masked_bias", ".attn.bias", ".inv_freq"};

}  // namespace

std::string element_place(std::span<const std::int64_t> shape, std::uint64_t element) {
  std::string text = "]";
  for (std::size_t i = shape.size(); i-- > 0;) {
    const auto extent = static_cast<std::uint64_t>(std::max<std::int64_t>(shape[i], 1));
    text.insert(0, (i > 0 ? ", " : "") + std::to_string(element % extent));
    element /= extent;
  }
  return text.insert(0, "[");
}

std::string value_in_words(double value) {
  if (std::isnan(value)) return "not a number";
  if (std::isinf(value)) return value < 0 ? "minus infinity" : "infinity";
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

bool is_computed_buffer(std::string_view name) noexcept {
  return std::ranges::any_of(kComputedBuffers, [&](std::string_view end) { return name.ends_with(end); });
}

void refuse_not_finite(const TensorView& tensor, std::uint64_t element, double value) {
  throw Error(ErrorKind::corrupt, tensor.file.string() + ": " + tensor.name, "weights must be finite",
              value_in_words(value) + " at " + element_place(tensor.shape, element),
              "Take another checkpoint: training that diverges, a failed merge or a damaged file leave such values.");
}

void require_finite(const TensorView& tensor) {
  if (!is_attention_dtype(tensor.dtype)) return;
  const auto count = static_cast<std::uint64_t>(tensor.element_count());
  parallel_for(static_cast<std::size_t>((count + kPiece - 1) / kPiece), [&](std::size_t i) {
    const std::uint64_t first = i * kPiece;
    const TensorSlice piece(tensor, first, std::min(kPiece, count - first));
    std::vector<std::byte> buffer;
    const std::span<const std::byte> bytes = piece.bytes(buffer);
    if (all_finite(bytes, tensor.dtype)) return;
    std::vector<double> values(piece.size());
    decode(bytes, tensor.dtype, values);
    const auto bad = std::ranges::find_if_not(values, [](double value) { return std::isfinite(value); });
    refuse_not_finite(tensor, first + static_cast<std::uint64_t>(bad - values.begin()), *bad);
  });
}

}  // namespace qcqa
