#include "checkpoint/gguf_blocks.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "qcqa/checkpoint/float_codec.hpp"

// Each function reads one block. In the small types ("_0", "_1") byte j of the nibbles holds elements j and j + half;
// in the large ones ("_K") 256 elements share two float16 scales, which small integers refine for every 16 or 32 of
// them.

namespace qcqa {
namespace {

constexpr std::uint32_t kLargeBlock = 256;
constexpr std::size_t kMostElements = kLargeBlock;

unsigned byte_at(const std::byte* block, std::size_t at) { return std::to_integer<unsigned>(block[at]); }
int signed_at(const std::byte* block, std::size_t at) { return static_cast<std::int8_t>(byte_at(block, at)); }

float half_at(const std::byte* block, std::size_t at) {
  float value = 0;
  decode(std::span(block + at, 2), Dtype::f16, std::span(&value, 1));
  return value;
}

/// 32 elements of 4 bits, a fifth in `high` where there is one: scale * (q - zero) + offset.
void nibbles32(const std::byte* quants, std::uint32_t high, float scale, int zero, float offset, float* out) {
  for (std::size_t j = 0; j < 16; ++j) {
    const unsigned low_bit = (high >> j & 1U) << 4;
    const unsigned high_bit = (high >> (j + 16) & 1U) << 4;
    const unsigned pair = byte_at(quants, j);
    out[j] = scale * static_cast<float>(static_cast<int>((pair & 15U) | low_bit) - zero) + offset;
    out[j + 16] = scale * static_cast<float>(static_cast<int>((pair >> 4) | high_bit) - zero) + offset;
  }
}

std::uint32_t word_at(const std::byte* block, std::size_t at) {
  std::uint32_t word = 0;
  std::memcpy(&word, block + at, sizeof word);
  return word;
}

void decode_q4_0(const std::byte* block, float* out) { nibbles32(block + 2, 0, half_at(block, 0), 8, 0, out); }
void decode_q4_1(const std::byte* block, float* out) {
  nibbles32(block + 4, 0, half_at(block, 0), 0, half_at(block, 2), out);
}
void decode_q5_0(const std::byte* block, float* out) {
  nibbles32(block + 6, word_at(block, 2), half_at(block, 0), 16, 0, out);
}
void decode_q5_1(const std::byte* block, float* out) {
  nibbles32(block + 8, word_at(block, 4), half_at(block, 0), 0, half_at(block, 2), out);
}

void decode_q8_0(const std::byte* block, float* out) {
  const float scale = half_at(block, 0);
  for (std::size_t j = 0; j < 32; ++j) out[j] = scale * static_cast<float>(signed_at(block, 2 + j));
}

void decode_q2_k(const std::byte* block, float* out) {
  const std::byte* quants = block + 16;
  const float scale = half_at(block, 80), minimum = half_at(block, 82);
  for (std::size_t part = 0; part < 16; ++part) {  // of 16 elements
    const std::size_t first = part / 8 * 32 + part % 2 * 16;
    const unsigned shift = static_cast<unsigned>(part % 8 / 2 * 2);
    const unsigned small = byte_at(block, part);
    const float d = scale * static_cast<float>(small & 15U), m = minimum * static_cast<float>(small >> 4);
    for (std::size_t j = 0; j < 16; ++j) *out++ = d * static_cast<float>(byte_at(quants, first + j) >> shift & 3U) - m;
  }
}

void decode_q3_k(const std::byte* block, float* out) {
  const std::byte *high = block, *quants = block + 32, *small = block + 96;
  const float scale = half_at(block, 108);
  for (std::size_t part = 0; part < 16; ++part) {
    // Scales of 6 bits: the low four in the first eight bytes, two of each in the last four.
    const unsigned low = part < 8 ? byte_at(small, part) & 15U : byte_at(small, part - 8) >> 4;
    const unsigned top = byte_at(small, 8 + part % 4) >> (part / 4 * 2) & 3U;
    const float d = scale * static_cast<float>(static_cast<int>(low | top << 4) - 32);
    const std::size_t first = part / 8 * 32 + part % 2 * 16;
    const unsigned shift = static_cast<unsigned>(part % 8 / 2 * 2);
    for (std::size_t j = 0; j < 16; ++j) {
      const bool has_high = (byte_at(high, part % 2 * 16 + j) >> (part / 2) & 1U) != 0;
      *out++ = d * static_cast<float>(static_cast<int>(byte_at(quants, first + j) >> shift & 3U) - (has_high ? 0 : 4));
    }
  }
}

/// The scale and the minimum of 32 elements: 6 bits each, packed into 12 bytes.
struct ScaleAndMinimum {
  float scale, minimum;
};
ScaleAndMinimum packed_scale(const std::byte* small, std::size_t part, float scale, float minimum) {
  unsigned d = 0, m = 0;
  if (part < 4) {
    d = byte_at(small, part) & 63U;
    m = byte_at(small, part + 4) & 63U;
  } else {
    d = (byte_at(small, part + 4) & 15U) | byte_at(small, part - 4) >> 6 << 4;
    m = byte_at(small, part + 4) >> 4 | byte_at(small, part) >> 6 << 4;
  }
  return {scale * static_cast<float>(d), minimum * static_cast<float>(m)};
}

/// Q4_K, and Q5_K with a fifth bit of every element in `high`.
void decode_k(const std::byte* block, const std::byte* high, const std::byte* quants, float* out) {
  const float scale = half_at(block, 0), minimum = half_at(block, 2);
  for (std::size_t part = 0; part < 8; ++part) {  // of 32 elements
    const auto [d, m] = packed_scale(block + 4, part, scale, minimum);
    for (std::size_t j = 0; j < 32; ++j) {
      const unsigned pair = byte_at(quants, part / 2 * 32 + j);
      const unsigned low = part % 2 == 0 ? pair & 15U : pair >> 4;
      const unsigned top = high ? (byte_at(high, j) >> part & 1U) << 4 : 0;
      *out++ = d * static_cast<float>(low | top) - m;
    }
  }
}
void decode_q4_k(const std::byte* block, float* out) { decode_k(block, nullptr, block + 16, out); }
void decode_q5_k(const std::byte* block, float* out) { decode_k(block, block + 16, block + 48, out); }

void decode_q6_k(const std::byte* block, float* out) {
  const float scale = half_at(block, 208);
  for (std::size_t i = 0; i < kLargeBlock; ++i) {
    const std::size_t side = i / 128, quarter = i % 128 / 32, j = i % 32;
    const unsigned pair = byte_at(block, side * 64 + quarter % 2 * 32 + j);
    const unsigned low = quarter < 2 ? pair & 15U : pair >> 4;
    const unsigned top = byte_at(block, 128 + side * 32 + j) >> (2 * quarter) & 3U;
    const int d = signed_at(block, 192 + i / 16);
    out[i] = scale * static_cast<float>(d) * static_cast<float>(static_cast<int>(low | top << 4) - 32);
  }
}

/// The values that 4 bits stand for in the IQ4 types.
constexpr std::array<int, 16> kUneven = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

void uneven32(const std::byte* quants, float scale, float* out) {
  for (std::size_t j = 0; j < 16; ++j) {
    const unsigned pair = byte_at(quants, j);
    out[j] = scale * static_cast<float>(kUneven[pair & 15U]);
    out[j + 16] = scale * static_cast<float>(kUneven[pair >> 4]);
  }
}

void decode_iq4_nl(const std::byte* block, float* out) { uneven32(block + 2, half_at(block, 0), out); }

void decode_iq4_xs(const std::byte* block, float* out) {
  const float scale = half_at(block, 0);
  const unsigned high = byte_at(block, 2) | byte_at(block, 3) << 8;
  for (std::size_t part = 0; part < 8; ++part) {
    const unsigned low = byte_at(block, 4 + part / 2) >> (part % 2 * 4) & 15U;
    const unsigned top = high >> (2 * part) & 3U;
    uneven32(block + 8 + part * 16, scale * static_cast<float>(static_cast<int>(low | top << 4) - 32), out + part * 32);
  }
}

constexpr std::array<GgufBlockType, 12> kTypes = {{
    {2, "Q4_0", 32, 18, decode_q4_0},
    {3, "Q4_1", 32, 20, decode_q4_1},
    {6, "Q5_0", 32, 22, decode_q5_0},
    {7, "Q5_1", 32, 24, decode_q5_1},
    {8, "Q8_0", 32, 34, decode_q8_0},
    {10, "Q2_K", kLargeBlock, 84, decode_q2_k},
    {11, "Q3_K", kLargeBlock, 110, decode_q3_k},
    {12, "Q4_K", kLargeBlock, 144, decode_q4_k},
    {13, "Q5_K", kLargeBlock, 176, decode_q5_k},
    {14, "Q6_K", kLargeBlock, 210, decode_q6_k},
    {20, "IQ4_NL", 32, 18, decode_iq4_nl},
    {23, "IQ4_XS", kLargeBlock, 136, decode_iq4_xs},
}};

struct OtherType {
  std::uint32_t code;
  std::string_view name;
};
constexpr std::array<OtherType, 14> kOtherTypes = {{{9, "Q8_1"},
                                                    {15, "Q8_K"},
                                                    {16, "IQ2_XXS"},
                                                    {17, "IQ2_XS"},
                                                    {18, "IQ3_XXS"},
                                                    {19, "IQ1_S"},
                                                    {21, "IQ3_S"},
                                                    {22, "IQ2_S"},
                                                    {24, "I8"},
                                                    {26, "I32"},
                                                    {29, "IQ1_M"},
                                                    {34, "TQ1_0"},
                                                    {35, "TQ2_0"},
                                                    {39, "MXFP4"}}};

}  // namespace

const GgufBlockType* find_gguf_block_type(std::uint32_t code) noexcept {
  const auto* found = std::ranges::find(kTypes, code, &GgufBlockType::code);
  return found == kTypes.end() ? nullptr : found;
}

std::string gguf_type_name(std::uint32_t code) {
  if (const GgufBlockType* type = find_gguf_block_type(code)) return std::string(type->name);
  const auto* found = std::ranges::find(kOtherTypes, code, &OtherType::code);
  return found == kOtherTypes.end() ? "type " + std::to_string(code) : std::string(found->name);
}

void GgufBlockValues::make(std::uint64_t first, std::span<std::byte> out) const {
  std::array<float, kMostElements> values;
  std::size_t done = 0;
  for (const std::size_t wanted = out.size() / sizeof(float); done < wanted;) {
    const std::uint64_t block = (first + done) / type_->elements;
    const auto skipped = static_cast<std::size_t>((first + done) % type_->elements);
    const std::size_t count = std::min<std::size_t>(type_->elements - skipped, wanted - done);
    type_->decode(blocks_.data() + block * type_->bytes, values.data());
    std::memcpy(out.data() + done * sizeof(float), values.data() + skipped, count * sizeof(float));
    done += count;
  }
}

}  // namespace qcqa
