#include "export/gguf_vocabulary.hpp"

#include "qcqa/support/error.hpp"

namespace qcqa {

namespace fs = std::filesystem;

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
    throw Error(ErrorKind::unsupported, source.string(),
                "--format gguf: must not have more tokens than the embedding has rows",
                std::to_string(tokens.size()) + " tokens, " + std::to_string(rows) + " rows");
  }
  resize(static_cast<std::size_t>(rows));
  keys.emplace_back("tokenizer.ggml.tokens", std::move(tokens));
  if (with_scores) keys.emplace_back("tokenizer.ggml.scores", std::move(scores));
  keys.emplace_back("tokenizer.ggml.token_type", std::move(kinds));
}

}  // namespace qcqa
