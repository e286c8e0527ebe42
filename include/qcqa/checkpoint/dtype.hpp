#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace qcqa {

/// Element types a safetensors file may hold.
enum class Dtype : std::uint8_t {
  boolean,
  f4,
  f6_e2m3,
  f6_e3m2,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  c64,
  f64,
  i64,
  u64,
};

/// The name in a safetensors header: "BF16", "F8_E4M3", ...
[[nodiscard]] std::string_view dtype_name(Dtype dtype) noexcept;

/// Exact, case-sensitive inverse of dtype_name.
[[nodiscard]] std::optional<Dtype> dtype_from_name(std::string_view name) noexcept;

/// Bits per element (4 and 6 occur).
[[nodiscard]] int dtype_bits(Dtype dtype) noexcept;
/// Bytes per element, of a type that has whole ones.
[[nodiscard]] inline std::size_t dtype_bytes(Dtype dtype) noexcept {
  return static_cast<std::size_t>(dtype_bits(dtype)) / 8;
}

/// Whether attention weights may have this type: F16, BF16, F32, F64.
[[nodiscard]] bool is_attention_dtype(Dtype dtype) noexcept;

}  // namespace qcqa
