#include "export/gguf_vocabulary.hpp"

#include <algorithm>
#include <array>

#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {

namespace fs = std::filesystem;

namespace {

std::string with_spaces(std::string text) {
  for (std::size_t at = 0; (at = text.find(kSpaceSymbol, at)) != std::string::npos;)
    text.replace(at, kSpaceSymbol.size(), " ");
  return text;
}

}  // namespace

void GgufVocabulary::set_user_defined(std::size_t id, const std::string& text, float score, bool is_piece) {
  // SentencePiece finds its pieces in a text whose spaces are symbols already, llama.cpp in the text as it is.
  const bool never = is_piece && text.find(' ') != std::string::npos;
  set(id, with_spaces(text), score, never ? PieceKind::unused : PieceKind::user_defined);
}

void GgufVocabulary::set(std::size_t id, std::string text, float score, PieceKind kind) {
  if (id >= tokens.size()) resize(id + 1);
  tokens[id] = std::move(text);
  scores[id] = score;
  kinds[id] = static_cast<std::int32_t>(kind);
}

void GgufVocabulary::resize(std::size_t count) {
  for (std::size_t id = tokens.size(); id < count; ++id) {
    tokens.push_back("[PAD" + std::to_string(id) + "]");
    scores.push_back(0);
    kinds.push_back(static_cast<std::int32_t>(PieceKind::unused));
  }
}

void GgufVocabulary::put(GgufMetadata& keys, std::int64_t rows, bool with_scores, const fs::path& source) && {
  if (tokens.size() > static_cast<std::size_t>(rows)) {
    throw Error(
        ErrorKind::unsupported, source.string(), "--format gguf: must not have more tokens than the embedding has rows",
        std::to_string(tokens.size()) + " tokens, " + std::to_string(rows) + " rows",
        "Give every token a row (resize_token_embeddings of transformers), or take out the tokens that have none.");
  }
  resize(static_cast<std::size_t>(rows));
  keys.emplace_back("tokenizer.ggml.tokens", std::move(tokens));
  if (with_scores) keys.emplace_back("tokenizer.ggml.scores", std::move(scores));
  keys.emplace_back("tokenizer.ggml.token_type", std::move(kinds));
}

namespace {

/// Tokens that every model means as control tokens, whatever their flags say. The list is llama.cpp's, so that its own
/// conversion gives the same types.
bool looks_special(std::string_view text) {
  static constexpr std::array<std::string_view, 4> kKnown = {"<pad>", "<mask>", "<2mass>", "[@BOS@]"};
  static constexpr std::string_view kWideBar = "\xEF\xBD\x9C";
  const auto between = [&](std::string_view begin, std::string_view end) {
    return text.size() >= begin.size() + end.size() && text.starts_with(begin) && text.ends_with(end);
  };
  return std::ranges::find(kKnown, text) != kKnown.end() || between("<|", "|>") ||
         between("<" + std::string(kWideBar), std::string(kWideBar) + ">") || between("<unused", ">");
}

}  // namespace

void set_added_tokens(GgufVocabulary& vocabulary, const TokenizerDescription& tokenizer, std::int64_t rows) {
  constexpr float kAddedScore = -1000;  // as llama.cpp's own conversion
  const auto is_named_by_class = [&](TokenId id) {
    return std::ranges::any_of(tokenizer.named,
                               [&](const auto& entry) { return entry.second.id == id && entry.second.from_class; });
  };
  for (const AddedToken& token : tokenizer.added) {
    const auto id = static_cast<std::size_t>(token.id);
    const bool known = id < vocabulary.tokens.size();
    if (known && (vocabulary.is(id, PieceKind::unknown) || vocabulary.is(id, PieceKind::byte))) continue;
    if (token.id >= rows && is_named_by_class(token.id)) continue;
    if (token.single_word) {
      refuse_gguf_tokenizer(tokenizer.source.string() + ": " + in_quotes(token.content),
                            "llama.cpp finds added tokens inside words too", "single_word");
    }
    const bool control = token.special || (tokenizer.trusts_looks && looks_special(token.content));
    const float score = known && !vocabulary.is(id, PieceKind::unused) ? vocabulary.scores[id] : kAddedScore;
    if (control) {
      vocabulary.set(id, token.content, score, PieceKind::control);
      continue;
    }
    vocabulary.set_user_defined(id, token.content, score, tokenizer.pieces && known);
  }
}

void refuse_gguf_tokenizer(const std::string& where, const std::string& rule, const std::string& found) {
  throw Error(ErrorKind::unsupported, where, "--format gguf: " + rule, found,
              "Write a folder (--format safetensors), which keeps the tokenizer as it is.");
}

}  // namespace qcqa
