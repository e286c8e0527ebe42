#include "export/gguf_tokenizer.hpp"

#include <algorithm>

#include "checkpoint/json_file.hpp"
#include "export/gguf_vocabulary.hpp"
#include "qcqa/support/error.hpp"
#include "qcqa/text/tokenizer.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string with_spaces(std::string text) {
  for (std::size_t at = 0; (at = text.find(kSpaceSymbol, at)) != std::string::npos;)
    text.replace(at, kSpaceSymbol.size(), " ");
  return text;
}

void add_sentencepiece(GgufMetadata& keys, const fs::path& file, std::int64_t rows) {
  const SentencePieceModel pieces = read_sentencepiece_model(file);
  const auto require = [&](bool holds, const char* rule, const char* found) {
    if (!holds) throw Error(ErrorKind::unsupported, file.string(), std::string("--format gguf: ") + rule, found);
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
    if (piece.kind != PieceKind::user_defined) {
      vocabulary.set(id, piece.text, piece.score, piece.kind);
    } else {
      // SentencePiece finds these in a text whose spaces are symbols already, llama.cpp in the text as it is.
      const bool never = piece.text.find(' ') != std::string::npos;
      vocabulary.set(id, with_spaces(piece.text), piece.score, never ? PieceKind::unused : piece.kind);
    }
  }
  std::move(vocabulary).put(keys, rows, true, file);
  keys.emplace_back("tokenizer.ggml.unknown_token_id", static_cast<std::uint32_t>(pieces.unknown));
  keys.emplace_back("tokenizer.ggml.add_space_prefix", pieces.add_dummy_prefix);
}

/// The end of text that generation stops at, of several: the first that config.json names.
std::optional<TokenId> main_end(const Model& model, const SpecialTokens& special) {
  if (special.eos.empty()) return std::nullopt;
  const auto it = model.config().find("eos_token_id");
  if (it == model.config().end()) return special.eos.front();
  const auto& first = it->is_array() && !it->empty() ? it->front() : *it;
  if (!first.is_number_integer()) return special.eos.front();
  const auto known = std::ranges::find(special.eos, first.get<TokenId>());
  return known == special.eos.end() ? special.eos.front() : *known;
}

void add_special(GgufMetadata& keys, const Model& model) {
  const SpecialTokens special = Tokenizer::open(model.path()).special();
  if (special.bos) keys.emplace_back("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(*special.bos));
  if (const auto end = main_end(model, special))
    keys.emplace_back("tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(*end));
  keys.emplace_back("tokenizer.ggml.add_bos_token", special.adds_bos);
  keys.emplace_back("tokenizer.ggml.add_eos_token", false);
}

void add_chat_template(GgufMetadata& keys, const fs::path& folder) {
  const fs::path config = folder / "tokenizer_config.json";
  if (fs::exists(folder / "chat_template.jinja")) {
    keys.emplace_back("tokenizer.chat_template", read_text_file(folder / "chat_template.jinja"));
  } else if (fs::exists(config)) {
    const json document = read_json_file(config);
    const auto it = document.find("chat_template");
    if (it != document.end() && it->is_string()) keys.emplace_back("tokenizer.chat_template", it->get<std::string>());
  }
}

}  // namespace

GgufMetadata gguf_tokenizer(const Model& model, std::int64_t rows) {
  const fs::path folder = model.path();
  const fs::path json_file = folder / "tokenizer.json";
  const fs::path piece_file = folder / "tokenizer.model";
  GgufMetadata keys;
  if (model.gguf()) {
    for (const auto& entry : model.gguf()->metadata) {
      if (entry.first.starts_with("tokenizer.")) keys.push_back(entry);
    }
    return keys;
  }
  if (fs::exists(json_file)) {
    const json document = read_json_file(json_file, "Download the file again.");
    const JsonView root(document, json_file.string() + ":");
    const bool byte_fallback = root.at("model").flag_or("byte_fallback", false);
    (void)Tokenizer::open(folder);  // refuses what is no BPE
    if (!byte_fallback) {
      add_byte_level(keys, root, rows, json_file);
    } else if (fs::exists(piece_file)) {
      add_sentencepiece(keys, piece_file, rows);
    } else {
      add_byte_fallback(keys, root, rows, json_file);
    }
  } else if (fs::exists(piece_file)) {
    add_sentencepiece(keys, piece_file, rows);
  } else {
    keys.emplace_back("tokenizer.ggml.model", "no_vocab");
    return keys;
  }
  add_special(keys, model);
  add_chat_template(keys, folder);
  return keys;
}

}  // namespace qcqa
