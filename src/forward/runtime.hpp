#pragma once

#include <ATen/core/Tensor.h>

#include "qcqa/checkpoint/dtype.hpp"
#include "qcqa/forward/forward_options.hpp"
#include "qcqa/forward/kv_cache.hpp"

namespace qcqa {

/// Where and with what a forward pass computes.
struct Runtime {
  at::Device device{at::kCPU};
  at::ScalarType type = at::kFloat;
  KvCacheType kv_cache = KvCacheType::f32;  ///< attention sees keys and values as a cache of this type gives them back

  /// @throws Error(unsupported) for bf16 on a CPU
  [[nodiscard]] static Runtime of(const ForwardOptions& options, KvCacheType kv_cache = KvCacheType::f32);

  [[nodiscard]] at::TensorOptions options() const { return at::TensorOptions().dtype(type).device(device); }
  [[nodiscard]] at::TensorOptions float_options() const { return at::TensorOptions().dtype(at::kFloat).device(device); }
};

}  // namespace qcqa
