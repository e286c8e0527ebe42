#include "qcqa/forward/kv_cache.hpp"

#include <algorithm>
#include <array>

#include "checkpoint/gguf_blocks.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// A type of llama.cpp's. @param code  of GGUF
KvCacheFormat in_blocks(KvCacheType type, std::string_view name, std::string_view help, std::uint32_t code) {
  const GgufBlockType& blocks = *find_gguf_block_type(code);
  return {type, name, help, blocks.elements, blocks.bytes};
}

}  // namespace

std::span<const KvCacheFormat> kv_cache_formats() {
  static const std::array<KvCacheFormat, 6> formats = {{
      {KvCacheType::f32, "f32", "as computed", 1, 4},
      {KvCacheType::bf16, "bf16", "", 1, 2},
      {KvCacheType::f16, "f16", "", 1, 2},
      {KvCacheType::fp8_e4m3, "fp8_e4m3", "as vLLM without calibrated scales", 1, 1},
      in_blocks(KvCacheType::q8_0, "q8_0", "as ggml, 8.5 bits", 8),
      in_blocks(KvCacheType::q4_0, "q4_0", "as ggml, 4.5 bits", 2),
  }};
  return formats;
}

const KvCacheFormat& kv_cache_format(KvCacheType type) {
  return *std::ranges::find(kv_cache_formats(), type, &KvCacheFormat::type);
}

void require_kv_cache(const Model& model, KvCacheType type) {
  const KvCacheFormat& format = kv_cache_format(type);
  for (const AttentionLayer& layer : model.layers()) {
    if (layer.head_dim % format.elements == 0) continue;
    throw Error(ErrorKind::unsupported, model.path().string(),
                "a KV cache in " + std::string(format.name) + " needs a head dimension that is a multiple of " +
                    std::to_string(format.elements),
                std::to_string(layer.head_dim), "Use --kv-cache fp8_e4m3 or f16.");
  }
}

std::int64_t kv_bytes_per_token(const Model& model, KvCacheType type) {
  require_kv_cache(model, type);
  const KvCacheFormat& format = kv_cache_format(type);
  std::int64_t bytes = 0;
  for (const AttentionLayer& layer : model.layers()) {
    bytes += std::int64_t{2} * layer.kv_heads * layer.head_dim / format.elements * format.bytes;
  }
  return bytes;
}

}  // namespace qcqa
