#include "cli/sample_step.hpp"

#include <cmath>

#include "qcqa/forward/runnable.hpp"
#include "qcqa/report/tables.hpp"
#include "qcqa/support/error.hpp"
#include "report/text_table.hpp"

namespace qcqa::cli {
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

void SampleFlags::add_to(CLI::App& command) {
  const std::string group = "Sample";
  command.add_option("--sample", prompt, "Continue this text, token by token, with a KV cache whose size is shown")
      ->group(group);
  command.add_option("--sample-tokens", options.max_tokens, "Most tokens to add")->group(group)->capture_default_str();
  command.add_option("--temperature", options.temperature, "0 = always the likeliest token; 1 = as the model predicts")
      ->group(group)
      ->capture_default_str();
  command.add_option("--seed", options.seed, "Seed of a sample with a temperature")
      ->group(group)
      ->capture_default_str();
}

void SampleFlags::check() const {
  if (!(options.temperature >= 0) || !std::isfinite(options.temperature)) {
    throw Error(ErrorKind::invalid_argument, "--temperature", "must be 0 or more", std::to_string(options.temperature));
  }
  if (options.max_tokens < 1)
    throw Error(ErrorKind::invalid_argument, "--sample-tokens", "must be at least 1",
                std::to_string(options.max_tokens));
}

Sample sample(const Model& model, const SampleFlags& flags, const TextFlags& text, const ForwardOptions& forward,
              Console& console) {
  const RunnableModel runnable = require_runnable(model);
  const Tokenizer tokenizer = text.tokenizer.open(model, console);
  const std::vector<std::vector<std::int32_t>> prompts = {encode_prompt(tokenizer, flags.prompt, parse_bos(text.bos))};
  require_rows(prompts.front(), tokenizer, runnable.vocabulary);
  GenerateOptions options = flags.options;
  options.forward = forward;
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
  const Generation generation = generate(model, prompts, options, {}, [&, progress = console.progress()](int tokens) {
    return progress({"sample", tokens, options.max_tokens});
  });
  const std::vector<std::int32_t>& tokens = generation.tokens.front();
  return {.text = continued(tokenizer, flags.prompt, prompts.front(), tokens),
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

std::string sample_summary(const std::string& name, const Sample& sample) {
  return name + ": KV cache of " + human_bytes(static_cast<double>(sample.kv_cache_bytes)) + " for " +
         std::to_string(sample.kv_cache_positions) + " tokens as computed, " +
         format_number("%.0f", sample.tokens_per_second) + " tokens/s\n  " + sample.text + "\n";
}

std::string cache_comparison(const Sample& sample, const Sample& reference) {
  const auto per_token = [](const Sample& s) {
    return static_cast<double>(s.kv_cache_bytes) / static_cast<double>(s.kv_cache_positions);
  };
  return "KV cache as measured: " + human_bytes(per_token(sample)) + " per token, " +
         format_number("%.1f %%", 100 * per_token(sample) / per_token(reference)) + " of the reference's " +
         human_bytes(per_token(reference)) + "\n";
}

}  // namespace qcqa::cli
