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

/// Of the 8-bit types that are passed on as they are: elements whose bits under the mask reach the limit are no
/// numbers.
struct EightBits {
  Dtype dtype;
  unsigned char mask, limit;
};
constexpr std::array<EightBits, 3> kEightBits = {{
    {Dtype::f8_e4m3, 0x7f, 0x7f},
    {Dtype::f8_e5m2, 0x7f, 0x7c},
    {Dtype::f8_e8m0, 0xff, 0xff},
}};

/// The first element of a piece that is not finite, or its size.
std::size_t first_bad(std::span<const std::byte> bytes, const EightBits& type) {
  const auto bad = [&](std::byte element) { return (static_cast<unsigned char>(element) & type.mask) >= type.limit; };
  unsigned found = 0;
  for (const std::byte element : bytes) found |= bad(element) ? 1u : 0u;  // without a way out, so that it is vectorised
  return found == 0 ? bytes.size() : static_cast<std::size_t>(std::ranges::find_if(bytes, bad) - bytes.begin());
}

void require_finite_piece(const TensorView& tensor, std::uint64_t first, std::uint64_t count,
                          const EightBits* eight_bits) {
  if (eight_bits) {
    const auto bytes = tensor.stored.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    if (const std::size_t bad = first_bad(bytes, *eight_bits); bad < bytes.size())
      refuse_not_finite(tensor, first + bad, std::nan(""));
    return;
  }
  const TensorSlice piece(tensor, first, count);
  std::vector<std::byte> buffer;
  const std::span<const std::byte> bytes = piece.bytes(buffer);
  if (all_finite(bytes, tensor.dtype)) return;
  std::vector<double> values(piece.size());
  decode(bytes, tensor.dtype, values);
  const auto bad = std::ranges::find_if_not(values, [](double value) { return std::isfinite(value); });
  refuse_not_finite(tensor, first + static_cast<std::uint64_t>(bad - values.begin()), *bad);
}

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
  const auto* found = std::ranges::find(kEightBits, tensor.dtype, &EightBits::dtype);
  const EightBits* const eight_bits = found == kEightBits.end() ? nullptr : found;
  if (!eight_bits && !is_attention_dtype(tensor.dtype)) return;
  const auto count = static_cast<std::uint64_t>(tensor.element_count());
  parallel_for(static_cast<std::size_t>((count + kPiece - 1) / kPiece), [&](std::size_t i) {
    const std::uint64_t first = i * kPiece;
    require_finite_piece(tensor, first, std::min(kPiece, count - first), eight_bits);
  });
}

}  // namespace qcqa
