#include "forward/cached_values.hpp"

#include <ATen/ATen.h>

namespace qcqa {
namespace {

at::Tensor through(const at::Tensor& values, at::ScalarType type) { return values.to(type).to(values.scalar_type()); }

/// @param values  float32, contiguous
at::Tensor as_e4m3(const at::Tensor& values) {
  constexpr double kLargest = 448;
  constexpr double kSmallestNormal = 0x1p-6;
  constexpr std::int64_t kExponentBits = 0x7f800000;
  const at::Tensor kept = values.clamp(-kLargest, kLargest);
  // What is left of a float32 without sign and mantissa is the power of two below it; three mantissa bits follow.
  const at::Tensor power = kept.view(at::kInt).bitwise_and(kExponentBits).view(at::kFloat).clamp_min(kSmallestNormal);
  const at::Tensor step = power / 8;
  return at::round(kept / step) * step;  // at::round: half to even
}

/// C's roundf: half away from zero.
at::Tensor round_half_away(const at::Tensor& x) {
  const at::Tensor whole = at::trunc(x);
  return whole + at::sign(x) * ((x - whole).abs() >= 0.5);
}

/// 1 / x, and 0 for 0.
at::Tensor inverse_or_zero(const at::Tensor& x) { return at::where(x == 0, at::zeros_like(x), 1 / x); }

/// @param blocks  (blocks, elements), float32
at::Tensor as_q8_0(const at::Tensor& blocks) {
  const at::Tensor scale = blocks.abs().amax(-1, true) / 127;
  return round_half_away(blocks * inverse_or_zero(scale)) * through(scale, at::kHalf);
}

/// The first of the values with the largest magnitude becomes code 0 of 16, that is -8.
at::Tensor as_q4_0(const at::Tensor& blocks) {
  const at::Tensor extreme = blocks.gather(-1, blocks.abs().argmax(-1, true));
  const at::Tensor scale = extreme / -8;
  const at::Tensor codes = at::trunc(blocks * inverse_or_zero(scale) + 8.5).clamp_max(15);
  return (codes - 8) * through(scale, at::kHalf);
}

}  // namespace

at::Tensor as_cached(const at::Tensor& rows, KvCacheType type) {
  if (type == KvCacheType::f32) return rows;
  const at::Tensor values = rows.to(at::kFloat).contiguous();
  const auto blocks = [&] { return values.view({-1, kv_cache_format(type).elements}); };
  at::Tensor out;
  switch (type) {
    case KvCacheType::f32:
      break;
    case KvCacheType::bf16:
      out = through(values, at::kBFloat16);
      break;
    case KvCacheType::f16:
      out = through(values, at::kHalf);
      break;
    case KvCacheType::fp8_e4m3:
      out = as_e4m3(values);
      break;
    case KvCacheType::q8_0:
      out = as_q8_0(blocks());
      break;
    case KvCacheType::q4_0:
      out = as_q4_0(blocks());
      break;
  }
  return out.view(rows.sizes()).to(rows.scalar_type());
}

}  // namespace qcqa
