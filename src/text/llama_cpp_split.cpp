#include "text/llama_cpp_split.hpp"

#include <string>
#include <vector>

namespace qcqa {
namespace {

using nlohmann::json;

json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

json sequence(json first, json second) {
  return {{"type", "Sequence"}, {"pretokenizers", json::array({std::move(first), std::move(second)})}};
}

/// GPT-2's words.
json words() { return byte_level(true); }

/// GPT-2's words, every digit alone.
json words_and_digits() { return sequence({{"type", "Digits"}, {"individual_digits", true}}, words()); }

/// The words of Llama 3 and Qwen 2, which differ in how digits are grouped.
json modern_words(const std::string& digits) {
  const std::string pattern = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" + digits +
                              "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  return sequence({{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}},
                  byte_level(false));
}

}  // namespace

std::span<const LlamaCppSplit> llama_cpp_splits() {
  static const std::vector<LlamaCppSplit> kRows = {
      {.name = "gpt-2", .pre_tokenizer = words()},
      {.name = "smollm", .pre_tokenizer = words_and_digits()},
      {.name = "qwen2", .pre_tokenizer = modern_words("\\p{N}")},
      {.name = "llama-bpe", .pre_tokenizer = modern_words("\\p{N}{1,3}"), .ignore_merges = true, .adds_bos = true},
      {.name = "dbrx", .pre_tokenizer = modern_words("\\p{N}{1,3}")},
      // Other names for the same.
      {.name = "phi-2", .pre_tokenizer = words()},
      {.name = "olmo", .pre_tokenizer = words()},
      {.name = "starcoder", .pre_tokenizer = words_and_digits()},
      {.name = "refact", .pre_tokenizer = words_and_digits()},
      {.name = "command-r", .pre_tokenizer = words_and_digits()},
      {.name = "codeshell", .pre_tokenizer = words_and_digits()},
      {.name = "exaone", .pre_tokenizer = words_and_digits()},
      {.name = "stablelm2", .pre_tokenizer = modern_words("\\p{N}")},
      {.name = "deepseek-r1-qwen", .pre_tokenizer = modern_words("\\p{N}")},
      {.name = "llama3", .pre_tokenizer = modern_words("\\p{N}{1,3}"), .ignore_merges = true, .adds_bos = true},
      {.name = "llama-v3", .pre_tokenizer = modern_words("\\p{N}{1,3}"), .ignore_merges = true, .adds_bos = true},
      {.name = "smaug-bpe", .pre_tokenizer = modern_words("\\p{N}{1,3}")},
  };
  return kRows;
}

}  // namespace qcqa
