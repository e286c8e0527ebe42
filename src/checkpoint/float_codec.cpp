#include "qcqa/checkpoint/float_codec.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>

#include "qcqa/support/error.hpp"

// Every loop body below is straight-line integer code with selects instead of branches, so that the
// compiler vectorises it. Elements are loaded by memcpy: safetensors does not promise alignment.

namespace qcqa {
namespace {

static_assert(std::endian::native == std::endian::little, "tensor files are little-endian");

/// Layout of a 16-bit float: F16 has 10 mantissa bits and bias 15, BF16 has 7 and 127.
template <int MantissaBits, int Bias>
struct Half {
  static constexpr int kMantissaBits = MantissaBits;
  static constexpr int kBias = Bias;
  static constexpr std::uint16_t kInfinity = static_cast<std::uint16_t>(0x7fffu >> MantissaBits << MantissaBits);
};
using Float16 = Half<10, 15>;
using BFloat16 = Half<7, 127>;

template <typename T>
T load(const std::byte* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

float widen_bf16(std::uint16_t half) noexcept { return std::bit_cast<float>(std::uint32_t{half} << 16); }

float widen_f16(std::uint16_t half) noexcept {
  const std::uint32_t sign = (half & 0x8000u) << 16;
  const std::uint32_t magnitude = half & 0x7fffu;
  const std::uint32_t normal = (magnitude << 13) + ((127u - 15u) << 23);
  const std::uint32_t special = (magnitude << 13) | 0x7f800000u;
  // A subnormal is magnitude * 2^-24: exact as a float, and no float subnormal is involved that a
  // flush-to-zero mode (set by other libraries in this process) could lose.
  const auto subnormal = std::bit_cast<std::uint32_t>(static_cast<float>(static_cast<int>(magnitude)) * 0x1p-24f);
  std::uint32_t bits = magnitude < 0x0400u ? subnormal : normal;
  bits = magnitude >= 0x7c00u ? special : bits;
  return std::bit_cast<float>(bits | sign);
}

/// Rounds a double to a 16-bit float, once, to nearest even.
template <typename Format>
std::uint16_t narrow(double value) noexcept {
  constexpr int kDropped = 52 - Format::kMantissaBits;
  constexpr std::uint64_t kRebias = std::uint64_t{1023 - Format::kBias} << 52;
  constexpr std::uint64_t kSmallestNormal = std::uint64_t{1023 - Format::kBias + 1} << 52;
  constexpr std::uint64_t kDoubleInfinity = std::uint64_t{0x7ff} << 52;
  // A double whose last bit weighs as much as the last bit of a subnormal of the format: adding it
  // makes the hardware round at exactly that bit.
  constexpr double kSubnormalRounder =
      std::bit_cast<double>(std::uint64_t{1023 + 1 - Format::kBias - Format::kMantissaBits + 52} << 52);

  const auto bits = std::bit_cast<std::uint64_t>(value);
  const std::uint64_t magnitude = bits & ~(std::uint64_t{1} << 63);
  const auto sign = static_cast<std::uint16_t>(bits >> 48 & 0x8000u);

  const std::uint64_t rebiased = magnitude - kRebias;
  const std::uint64_t half_minus_one_or_half = ((std::uint64_t{1} << (kDropped - 1)) - 1) + (rebiased >> kDropped & 1);
  const std::uint64_t normal =
      std::min<std::uint64_t>((rebiased + half_minus_one_or_half) >> kDropped, Format::kInfinity);
  const std::uint64_t subnormal = std::bit_cast<std::uint64_t>(std::bit_cast<double>(magnitude) + kSubnormalRounder) -
                                  std::bit_cast<std::uint64_t>(kSubnormalRounder);
  // NaN keeps its upper payload bits and becomes quiet, as IEEE 754 conversions do.
  const std::uint64_t nan = Format::kInfinity | (std::uint64_t{1} << (Format::kMantissaBits - 1)) |
                            (magnitude >> kDropped & ((std::uint64_t{1} << Format::kMantissaBits) - 1));

  std::uint64_t result = magnitude < kSmallestNormal ? subnormal : normal;
  result = magnitude > kDoubleInfinity ? nan : result;
  return static_cast<std::uint16_t>(result | sign);
}

void require_sizes(std::size_t bytes, std::size_t elements, Dtype dtype, const char* where) {
  if (!is_attention_dtype(dtype)) {
    throw Error(ErrorKind::invalid_argument, where, "only F16, BF16, F32 and F64 can be converted", dtype_name(dtype));
  }
  const std::size_t element_bytes = dtype_bytes(dtype);
  if (bytes % element_bytes != 0 || bytes / element_bytes != elements) {
    throw Error(ErrorKind::invalid_argument, where, "the byte count must be the element count times the element size",
                std::to_string(bytes) + " bytes for " + std::to_string(elements) + " elements of " +
                    std::string(dtype_name(dtype)));
  }
}

template <typename Out>
void decode_into(std::span<const std::byte> bytes, Dtype dtype, std::span<Out> out) {
  require_sizes(bytes.size(), out.size(), dtype, "decode");
  const std::byte* in = bytes.data();
  Out* to = out.data();
  const std::size_t n = out.size();
  switch (dtype) {
    case Dtype::bf16:
      for (std::size_t i = 0; i < n; ++i) to[i] = widen_bf16(load<std::uint16_t>(in + 2 * i));
      break;
    case Dtype::f16:
      for (std::size_t i = 0; i < n; ++i) to[i] = widen_f16(load<std::uint16_t>(in + 2 * i));
      break;
    case Dtype::f32:
      for (std::size_t i = 0; i < n; ++i) to[i] = load<float>(in + 4 * i);
      break;
    default:  // f64: require_sizes let nothing else through
      for (std::size_t i = 0; i < n; ++i) to[i] = static_cast<Out>(load<double>(in + 8 * i));
      break;
  }
}

template <typename T, typename Convert>
void store_all(std::span<const double> values, std::byte* out, Convert convert) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const T element = convert(values[i]);
    std::memcpy(out + sizeof(T) * i, &element, sizeof element);
  }
}

/// True when no element has all exponent bits set. Blocks keep the inner loop free of exits, hence
/// vectorisable.
template <typename T>
bool exponents_below(std::span<const std::byte> bytes, T exponent_mask) {
  constexpr std::size_t kBlock = 4096;
  const std::size_t n = bytes.size() / sizeof(T);
  for (std::size_t begin = 0; begin < n; begin += kBlock) {
    const std::size_t end = std::min(n, begin + kBlock);
    T any = 0;
    for (std::size_t i = begin; i < end; ++i) {
      const T exponent = load<T>(bytes.data() + sizeof(T) * i) & exponent_mask;
      any = static_cast<T>(any | (exponent == exponent_mask ? T{1} : T{0}));
    }
    if (any != 0) return false;
  }
  return true;
}

}  // namespace

void decode(std::span<const std::byte> bytes, Dtype dtype, std::span<double> out) { decode_into(bytes, dtype, out); }

void decode(std::span<const std::byte> bytes, Dtype dtype, std::span<float> out) { decode_into(bytes, dtype, out); }

void encode(std::span<const double> values, Dtype dtype, std::span<std::byte> out) {
  require_sizes(out.size(), values.size(), dtype, "encode");
  switch (dtype) {
    case Dtype::bf16:
      store_all<std::uint16_t>(values, out.data(), narrow<BFloat16>);
      break;
    case Dtype::f16:
      store_all<std::uint16_t>(values, out.data(), narrow<Float16>);
      break;
    case Dtype::f32:
      store_all<float>(values, out.data(), [](double v) { return static_cast<float>(v); });
      break;
    default:
      store_all<double>(values, out.data(), [](double v) { return v; });
      break;
  }
}

void convert_elements(std::span<const std::byte> bytes, Dtype from, Dtype to, std::span<std::byte> out) {
  if (from == to) {
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return;
  }
  static constexpr std::size_t kBlock = 1024;  // values in the first-level cache
  const std::size_t from_bytes = dtype_bytes(from);
  const std::size_t to_bytes = dtype_bytes(to);
  const std::size_t count = bytes.size() / from_bytes;
  std::array<double, kBlock> values;
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const auto some = std::span(values).first(std::min(kBlock, count - begin));
    decode(bytes.subspan(begin * from_bytes, some.size() * from_bytes), from, some);
    encode(some, to, out.subspan(begin * to_bytes, some.size() * to_bytes));
  }
}

bool all_finite(std::span<const std::byte> bytes, Dtype dtype) {
  require_sizes(bytes.size(), bytes.size() * 8 / static_cast<std::size_t>(dtype_bits(dtype)), dtype, "all_finite");
  switch (dtype) {
    case Dtype::bf16:
      return exponents_below<std::uint16_t>(bytes, BFloat16::kInfinity);
    case Dtype::f16:
      return exponents_below<std::uint16_t>(bytes, Float16::kInfinity);
    case Dtype::f32:
      return exponents_below<std::uint32_t>(bytes, 0x7f800000u);
    default:
      return exponents_below<std::uint64_t>(bytes, std::uint64_t{0x7ff} << 52);
  }
}

}  // namespace qcqa
