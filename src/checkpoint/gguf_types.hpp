#pragma once

#include <array>
#include <cstdint>

#include "qcqa/checkpoint/dtype.hpp"

namespace qcqa {

inline constexpr std::uint32_t kGgufMagic = 0x46554747;  // "GGUF"
inline constexpr std::uint32_t kGgufVersion = 3;
inline constexpr std::uint64_t kGgufAlignment = 32;  // the default; no other is written

/// Types of metadata values, by their codes in the file.
enum class GgufType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

struct GgufTensorType {
  Dtype dtype;
  std::uint32_t code;
};
inline constexpr std::array<GgufTensorType, 3> kGgufTensorTypes = {
    {{Dtype::f32, 0}, {Dtype::f16, 1}, {Dtype::bf16, 30}}};

}  // namespace qcqa
