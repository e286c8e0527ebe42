#include "cli/sample_flags.hpp"

#include "qcqa/report/tables.hpp"
#include "report/text_table.hpp"

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
