#include "cli/sample_flags.hpp"

#include <fmt/format.h>

#include "qcqa/support/human_bytes.hpp"

namespace qcqa::cli {

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

std::string sample_summary(const std::string& name, const Sample& sample) {
  return fmt::format("{}: KV cache of {} for {} tokens as computed, {:.0f} tokens/s\n  {}\n", name,
                     human_bytes(sample.kv_cache_bytes), sample.kv_cache_positions, sample.tokens_per_second,
                     sample.text);
}

std::string cache_comparison(const Sample& sample, const Sample& reference) {
  const auto per_token = [](const Sample& s) {
    return static_cast<double>(s.kv_cache_bytes) / static_cast<double>(s.kv_cache_positions);
  };
  return fmt::format("KV cache as measured: {} per token, {:.1f} % of the reference's {}\n",
                     human_bytes(per_token(sample)), 100 * per_token(sample) / per_token(reference),
                     human_bytes(per_token(reference)));
}

}  // namespace qcqa::cli
