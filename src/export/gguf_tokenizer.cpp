#include "export/gguf_tokenizer.hpp"

#include "export/gguf_special_tokens.hpp"
#include "export/gguf_vocabulary.hpp"
#include "support/in_quotes.hpp"
#include "text/gguf_tokenizer_files.hpp"
#include "text/tokenizer_cache.hpp"
#include "text/tokenizer_view.hpp"

namespace qcqa {
namespace {

/// llama.cpp has SentencePiece's own algorithm, so pieces keep their scores.
void add_sentencepiece(GgufMetadata& keys, const TokenizerDescription& tokenizer, std::int64_t rows) {
  const SentencePieceModel& pieces = *tokenizer.pieces;
  const auto require = [&](bool holds, const char* rule, const char* found) {
    if (!holds) refuse_gguf_tokenizer(tokenizer.source.string(), rule, found);
  };
  require(pieces.algorithm == SentencePieceModel::Algorithm::bpe, "takes SentencePiece models of the kind BPE",
          "unigram");
  require(!pieces.remove_extra_spaces, "takes SentencePiece models that keep all spaces", "remove_extra_whitespaces");
  require(pieces.character_map.empty(), "takes SentencePiece models that normalise no text", "a map of characters");
  require(pieces.byte_fallback, "takes SentencePiece models with a piece for every byte", "no byte_fallback");
  keys.emplace_back("tokenizer.ggml.model", "llama");
  keys.emplace_back("tokenizer.ggml.pre", "default");
  GgufVocabulary vocabulary;
  for (std::size_t id = 0; id < pieces.pieces.size(); ++id) {
    const SentencePieceEntry& piece = pieces.pieces[id];
    if (piece.kind == PieceKind::user_defined) {
      vocabulary.set_user_defined(id, piece.text, piece.score, true);
    } else {
      vocabulary.set(id, piece.text, piece.score, piece.kind);
    }
  }
  set_added_tokens(vocabulary, tokenizer, rows);
  std::move(vocabulary).put(keys, rows, true, tokenizer.source);
  keys.emplace_back("tokenizer.ggml.add_space_prefix", pieces.add_dummy_prefix);
}

void add_vocabulary(GgufMetadata& keys, const TokenizerDescription& tokenizer, std::int64_t rows) {
  if (tokenizer.pieces) return add_sentencepiece(keys, tokenizer, rows);
  const JsonView root = tokenizer_view(tokenizer.document, tokenizer.source);
  const JsonView model = root.at("model");
  const std::string type = model.text_or("type", model.find("merges") ? "BPE" : "another");
  if (type != "BPE") refuse_gguf_tokenizer(model.where(), "takes tokenizers of the kind BPE", in_quotes(type));
  if (model.flag_or("byte_fallback", false)) {
    add_byte_fallback(keys, tokenizer, rows);
  } else {
    add_byte_level(keys, tokenizer, rows);
  }
}

}  // namespace

GgufTokenizer gguf_tokenizer(const Model& model, std::int64_t rows) {
  GgufTokenizer result;
  if (model.gguf()) {
    for (const auto& entry : model.gguf()->metadata) {
      if (entry.first.starts_with("tokenizer.")) result.keys.push_back(entry);
    }
    if (!has_vocabulary(*model.gguf()))
      result.notes.emplace_back("the GGUF file has no vocabulary, as the one that it is made from");
    return result;
  }
  if (!has_tokenizer(model.path())) {
    result.keys.emplace_back("tokenizer.ggml.model", "no_vocab");
    result.notes.emplace_back(
        "the folder has no tokenizer, so the GGUF file has no vocabulary: runtimes can feed it token ids, and no text");
    return result;
  }
  const auto tokenizer = described_tokenizer(model.path());
  add_vocabulary(result.keys, *tokenizer, rows);
  add_special_tokens(result.keys, model, *tokenizer, rows, result.notes);
  add_chat_templates(result.keys, model, *tokenizer);
  return result;
}

}  // namespace qcqa
