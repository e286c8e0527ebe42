#include "qcqa/pipeline/sample.hpp"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "pipeline/evaluation_text.hpp"
#include "qcqa/forward/runnable.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

std::vector<std::int32_t> encode_prompt(const Tokenizer& tokenizer, const std::string& prompt, BosRule rule) {
  std::vector<std::int32_t> ids = frame_of(tokenizer, rule).before;
  const std::vector<TokenId> text = tokenizer.encode(prompt);
  ids.insert(ids.end(), text.begin(), text.end());
  if (ids.empty()) throw Error(ErrorKind::invalid_argument, "--sample", "must have at least one token", "none");
  return ids;
}

/// The prompt and what follows it. Decoded together: a tokenizer drops the space before the first word of a text, and
/// the continuation alone would be one.
std::string continued(const Tokenizer& tokenizer, const std::string& prompt, std::vector<std::int32_t> ids,
                      const std::vector<std::int32_t>& more) {
  const std::string before = tokenizer.decode(ids);
  ids.insert(ids.end(), more.begin(), more.end());
  const std::string whole = tokenizer.decode(ids);
  return whole.starts_with(before) ? prompt + whole.substr(before.size()) : whole;
}

}  // namespace

void require_valid(const SampleSettings& settings) {
  if (!(settings.options.temperature >= 0) || !std::isfinite(settings.options.temperature)) {
    throw Error(ErrorKind::invalid_argument, "--temperature", "must be 0 or more",
                std::to_string(settings.options.temperature));
  }
  if (settings.options.max_tokens < 1)
    throw Error(ErrorKind::invalid_argument, "--sample-tokens", "must be at least 1",
                std::to_string(settings.options.max_tokens));
}

Sample sample(const Model& model, const SampleSettings& settings, const Session& session) {
  require_valid(settings);
  const RunnableModel runnable = require_runnable(model);
  const Tokenizer tokenizer = open_tokenizer(model, settings.tokenizer, session);
  const std::vector<std::vector<std::int32_t>> prompts = {encode_prompt(tokenizer, settings.prompt, settings.bos)};
  require_rows(prompts.front(), tokenizer, runnable.vocabulary);
  GenerateOptions options = settings.options;
  options.stop = tokenizer.special().eos;
  if (runnable.max_positions > 0) {
    if (prompts.front().size() >= runnable.max_positions) {
      throw Error(ErrorKind::invalid_argument, "--sample",
                  "must be shorter than the model's " + std::to_string(runnable.max_positions) + " positions",
                  std::to_string(prompts.front().size()) + " tokens");
    }
    options.max_tokens = static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(options.max_tokens),
                                                                runnable.max_positions - prompts.front().size()));
  }
  const Generation generation = generate(model, prompts, options, [&](int tokens) {
    return !session.progress || session.progress({"sample", tokens, options.max_tokens});
  });
  const std::vector<std::int32_t>& tokens = generation.tokens.front();
  return {.text = continued(tokenizer, settings.prompt, prompts.front(), tokens),
          .tokens = static_cast<std::int64_t>(tokens.size()),
          .kv_cache_bytes = generation.kv_cache_bytes,
          .kv_cache_positions = generation.kv_cache_positions,
          .tokens_per_second = static_cast<double>(tokens.size()) / generation.seconds};
}

nlohmann::ordered_json to_json(const Sample& sample) {
  return {{"text", sample.text},
          {"tokens", sample.tokens},
          {"kv_cache_bytes", sample.kv_cache_bytes},
          {"kv_cache_positions", sample.kv_cache_positions},
          {"tokens_per_second", sample.tokens_per_second}};
}

}  // namespace qcqa
