#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "qcqa/model/model.hpp"

namespace qcqa {

/// The types that runtimes keep keys and values in.
enum class KvCacheType { f32, bf16, f16, fp8_e4m3, q8_0, q4_0 };

/// One row per type: its name, what it is, and its size.
struct KvCacheFormat {
  KvCacheType type;
  std::string_view name;
  std::string_view help;
  std::int64_t elements, bytes;  ///< of a block: values along the head dimension that share a scale; 1 without scales
};
[[nodiscard]] std::span<const KvCacheFormat> kv_cache_formats();
[[nodiscard]] const KvCacheFormat& kv_cache_format(KvCacheType type);

/// Throws Error(unsupported) unless the blocks of the type divide the model's head dimension, as llama.cpp does.
void require_kv_cache(const Model& model, KvCacheType type);

/// Bytes of KV cache per token, over all layers, were it kept in this type. @throws as require_kv_cache
[[nodiscard]] std::int64_t kv_bytes_per_token(const Model& model, KvCacheType type);

}  // namespace qcqa
