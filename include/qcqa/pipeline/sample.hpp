#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "qcqa/forward/generate.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/pipeline/session.hpp"
#include "qcqa/text/corpus.hpp"

namespace qcqa {

/// A text to go on from.
struct SampleSettings {
  std::string prompt{};
  GenerateOptions options{};  ///< max_tokens is cut to the model's positions; stop comes from the tokenizer
  BosRule bos = BosRule::as_tokenizer;
  TokenizerKind tokenizer{};
};

/// One model's continuation of the prompt.
struct Sample {
  std::string text;
  std::int64_t tokens = 0;
  std::int64_t kv_cache_bytes = 0;
  std::int64_t kv_cache_positions = 0;
  double tokens_per_second = 0;
};

/// Throws Error(invalid_argument) for numbers out of their range.
void require_valid(const SampleSettings& settings);

/// @throws Error(invalid_argument, unsupported, interrupted)
[[nodiscard]] Sample sample(const Model& model, const SampleSettings& settings, const Session& session);

[[nodiscard]] nlohmann::ordered_json to_json(const Sample& sample);

}  // namespace qcqa
