#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "qcqa/forward/forward_options.hpp"
#include "qcqa/forward/kv_cache.hpp"
#include "qcqa/model/model.hpp"

namespace qcqa {

struct GenerateOptions {
  int max_tokens = 128;              ///< new tokens per prompt, >= 1
  double temperature = 0;            ///< 0: the likeliest token always; otherwise logits are divided by it and sampled
  std::uint64_t seed = 0;            ///< of the sampling; a prompt's tokens do not depend on the prompts beside it
  std::vector<std::int32_t> stop{};  ///< a sequence ends after one of these
  ForwardOptions forward{};
  KvCacheType kv_cache = KvCacheType::f32;  ///< what keys and values are rounded to before they are kept
};

struct Generation {
  std::vector<std::vector<std::int32_t>> tokens;  ///< new tokens per prompt
  std::int64_t kv_cache_bytes = 0;                ///< memory of the keys and values kept, as allocated
  std::int64_t kv_cache_positions = 0;            ///< tokens, over all prompts, that it has room for
  double seconds = 0;                             ///< of decoding, without reading the weights
};

/// Goes on from each prompt, token by token, with a KV cache that holds KV heads only. All prompts advance together;
/// all layers stay in memory.
/// @param prompts  one or more, none empty
/// @param progress  called with the tokens that every sequence still going on has; false asks to stop
/// @throws Error(invalid_argument, unsupported); Error(interrupted) when progress asks to stop
[[nodiscard]] Generation generate(const Model& model, std::span<const std::vector<std::int32_t>> prompts,
                                  const GenerateOptions& options, const std::function<bool(int)>& progress = {});

}  // namespace qcqa
