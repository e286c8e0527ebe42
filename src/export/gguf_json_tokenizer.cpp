#include <algorithm>
#include <array>
#include <functional>
#include <map>

#include "export/gguf_vocabulary.hpp"
#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"
#include "text/llama_cpp_split.hpp"
#include "text/tokenizer_view.hpp"

namespace qcqa {
namespace {

[[noreturn]] void refuse(const JsonView& where, const std::string& rule, const std::string& found) {
  refuse_gguf_tokenizer(where.where(), rule, found);
}

std::string spell_steps(const JsonView& step) {
  const std::string type = step.type();
  if (type == "Sequence") {
    std::string all;
    for (const JsonView& part : step.at("pretokenizers").items()) all += spell_steps(part);
    return all;
  }
  if (type == "ByteLevel") {
    if (step.flag_or("add_prefix_space", true)) return "ByteLevel with a space in front\n";
    return step.flag_or("use_regex", true) ? "ByteLevel words\n" : "ByteLevel\n";
  }
  if (type == "Digits") return step.flag_or("individual_digits", false) ? "Digits one by one\n" : "Digits\n";
  if (type == "Split") {
    const auto expression = step.at("pattern").find("Regex");
    const bool plain = expression && step.at("behavior").text() == "Isolated" && !step.flag_or("invert", false);
    return plain ? "Split " + expression->text() + "\n" : "Split otherwise\n";
  }
  return type + "\n";
}

/// The name of the way to split text. Whether a word that is a token stays whole belongs to it.
std::string pre_tokenizer_name(const JsonView& root) {
  const auto step = root.find("pre_tokenizer");
  const std::string steps = step ? spell_steps(*step) : "none\n";
  const bool ignores = root.at("model").flag_or("ignore_merges", false);
  for (const LlamaCppSplit& row : llama_cpp_splits()) {
    if (row.ignore_merges == ignores && spell_steps(tokenizer_view(row.pre_tokenizer, row.name)) == steps) {
      return std::string(row.name);
    }
  }
  refuse(root, "needs a pre_tokenizer that llama.cpp has (GPT-2's, Llama 3's, Qwen 2's, SmolLM's)", in_quotes(steps));
}

/// Left and right part of a merge, which is "a b" or ["a", "b"].
std::pair<std::string, std::string> merge_parts(const JsonView& merge) {
  if (merge.value().is_array()) {
    const auto parts = merge.items();
    if (parts.size() != 2) merge.corrupt("a merge has two parts");
    return {parts[0].text(), parts[1].text()};
  }
  const std::string text = merge.text();
  const std::size_t space = text.find(' ', 1);
  if (space == std::string::npos) merge.corrupt("a merge has two parts", text);
  return {text.substr(0, space), text.substr(space + 1)};
}

GgufVocabulary vocabulary_of(const TokenizerDescription& tokenizer) {
  GgufVocabulary vocabulary;
  for (const auto& [token, id] : tokenizer.words->vocabulary()) {
    vocabulary.set(static_cast<std::size_t>(id), token, 0, PieceKind::normal);
  }
  return vocabulary;
}

JsonView root_of(const TokenizerDescription& tokenizer) { return tokenizer_view(tokenizer.document, tokenizer.source); }

bool is_space(const JsonView& pattern) { return pattern.text_or("String", "") == " "; }

/// Whether a text gets a space in front, as llama.cpp may put one. Refuses what does more than that and writing spaces
/// as \u2581. A Metaspace adds none where the text begins with a space, llama.cpp does.
bool adds_space(const JsonView& root) {
  bool adds = false;
  const std::function<void(const JsonView&)> normalize = [&](const JsonView& step) {
    const std::string type = step.type();
    if (type == "Sequence") {
      for (const JsonView& part : step.at("normalizers").items()) normalize(part);
    } else if (type == "Prepend") {
      adds = true;
    } else if (type != "NFC" && !(type == "Replace" && is_space(step.at("pattern")))) {
      refuse(step, "llama.cpp normalises no text", type);
    }
  };
  if (const auto normalizer = root.find("normalizer")) normalize(*normalizer);
  if (const auto split = root.find("pre_tokenizer")) {
    const std::string type = split->type();
    if (type == "Metaspace") {
      adds = adds ||
             split->text_or("prepend_scheme", split->flag_or("add_prefix_space", true) ? "always" : "never") != "never";
    } else if (type != "Split" || !is_space(split->at("pattern"))) {
      refuse(*split, "needs a pre_tokenizer that llama.cpp has", type);
    }
  }
  return adds;
}

}  // namespace

void add_byte_level(GgufMetadata& keys, const TokenizerDescription& tokenizer, std::int64_t rows) {
  const JsonView root = root_of(tokenizer);
  // llama.cpp normalises nothing. NFC changes few texts, and every conversion leaves it out.
  if (const auto normalizer = root.find("normalizer"); normalizer && normalizer->type() != "NFC") {
    refuse(*normalizer, "llama.cpp normalises no text", normalizer->type());
  }
  keys.emplace_back("tokenizer.ggml.model", "gpt2");
  keys.emplace_back("tokenizer.ggml.pre", pre_tokenizer_name(root));
  GgufVocabulary vocabulary = vocabulary_of(tokenizer);
  set_added_tokens(vocabulary, tokenizer, rows);
  std::move(vocabulary).put(keys, rows, false, tokenizer.source);
  std::vector<std::string> merges;
  for (const JsonView& merge : root.at("model").at("merges").items()) {
    const auto [left, right] = merge_parts(merge);
    merges.push_back(left + " " + right);
  }
  keys.emplace_back("tokenizer.ggml.merges", std::move(merges));
}

void add_byte_fallback(GgufMetadata& keys, const TokenizerDescription& tokenizer, std::int64_t rows) {
  const JsonView root = root_of(tokenizer);
  const bool prefix = adds_space(root);
  keys.emplace_back("tokenizer.ggml.model", "llama");
  keys.emplace_back("tokenizer.ggml.pre", "default");
  GgufVocabulary vocabulary = vocabulary_of(tokenizer);
  // llama.cpp merges by scores, so a token's score is the rank of its merge.
  std::map<std::string, float, std::less<>> ranks;
  for (const JsonView& merge : root.at("model").at("merges").items()) {
    const auto [left, right] = merge_parts(merge);
    ranks.emplace(left + right, -static_cast<float>(ranks.size()));
  }
  const auto lowest = -static_cast<float>(ranks.size() + 1);
  const std::string unknown = root.at("model").text_or("unk_token", "<unk>");
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    const auto rank = ranks.find(token);
    const bool byte = token.size() == 6 && token.starts_with("<0x") && token.ends_with('>');
    if (!vocabulary.is(id, PieceKind::normal)) continue;
    vocabulary.scores[id] = rank != ranks.end() ? rank->second : lowest;
    vocabulary.kinds[id] = static_cast<std::int32_t>(byte               ? PieceKind::byte
                                                     : token == unknown ? PieceKind::unknown
                                                                        : PieceKind::normal);
  }
  set_added_tokens(vocabulary, tokenizer, rows);
  std::move(vocabulary).put(keys, rows, true, tokenizer.source);
  keys.emplace_back("tokenizer.ggml.add_space_prefix", prefix);
}

}  // namespace qcqa
