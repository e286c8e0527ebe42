#include "export/gguf_tokenizer.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <map>

#include "checkpoint/json_file.hpp"
#include "qcqa/support/error.hpp"
#include "qcqa/text/tokenizer.hpp"
#include "support/in_quotes.hpp"
#include "text/json_view.hpp"
#include "text/sentencepiece_model.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// llama.cpp's token types are SentencePiece's kinds of piece.
using TokenKind = PieceKind;

struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<std::int32_t> kinds;

  void set(std::size_t id, std::string text, float score, TokenKind kind) {
    if (id >= tokens.size()) resize(id + 1);
    tokens[id] = std::move(text);
    scores[id] = score;
    kinds[id] = static_cast<std::int32_t>(kind);
  }
  /// Rows of the embedding that no token has get names that no text contains.
  void resize(std::size_t count) {
    for (std::size_t id = tokens.size(); id < count; ++id) {
      tokens.push_back("[PAD" + std::to_string(id) + "]");
      scores.push_back(0);
      kinds.push_back(static_cast<std::int32_t>(TokenKind::unused));
    }
  }
};

/// How llama.cpp splits text before BPE, by the pre-tokenizers of tokenizer.json that it equals.
struct PreTokenizerName {
  std::string_view name;
  std::string_view steps;  ///< as spell_steps writes them
};
#define QCQA_WORDS(digits)                                                   \
  "Split (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits \
  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+\nByteLevel\n"
constexpr std::array<PreTokenizerName, 5> kPreTokenizers = {{
    {"gpt-2", "ByteLevel words\n"},
    {"smollm", "Digits one by one\nByteLevel words\n"},
    {"qwen2", QCQA_WORDS("\\p{N}")},
    {"llama-bpe", QCQA_WORDS("\\p{N}{1,3}") "ignore merges\n"},
    {"dbrx", QCQA_WORDS("\\p{N}{1,3}")},
}};
#undef QCQA_WORDS

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

std::string pre_tokenizer_name(const JsonView& root) {
  const auto step = root.find("pre_tokenizer");
  std::string steps = step ? spell_steps(*step) : "none\n";
  if (root.at("model").flag_or("ignore_merges", false)) steps += "ignore merges\n";
  for (const PreTokenizerName& row : kPreTokenizers) {
    if (row.steps == steps) return std::string(row.name);
  }
  throw Error(ErrorKind::unsupported, root.where() + " pre_tokenizer",
              "--format gguf needs one that llama.cpp has (GPT-2's, Llama 3's, Qwen 2's, SmolLM's)", in_quotes(steps),
              "Use another layout, or --format safetensors and llama.cpp's own conversion.");
}

void add_added_tokens(const JsonView& root, Vocabulary& vocabulary) {
  const auto added = root.find("added_tokens");
  if (!added) return;
  for (const JsonView& token : added->items()) {
    const auto id = static_cast<std::size_t>(token.at("id").integer(0, std::numeric_limits<std::int32_t>::max()));
    const bool special = token.flag_or("special", false);
    if (id < vocabulary.kinds.size() && vocabulary.kinds[id] == static_cast<std::int32_t>(TokenKind::unknown)) continue;
    vocabulary.set(id, token.at("content").text(), 0, special ? TokenKind::control : TokenKind::user_defined);
  }
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

Vocabulary json_vocabulary(const JsonView& root) {
  Vocabulary vocabulary;
  for (const auto& [token, id] : root.at("model").at("vocab").value().items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > 16'777'215)
      root.corrupt("ids are small integers", id.dump());
    vocabulary.set(id.get<std::size_t>(), token, 0, TokenKind::normal);
  }
  return vocabulary;
}

void finish(GgufMetadata& keys, Vocabulary vocabulary, std::int64_t rows, bool with_scores, const fs::path& source) {
  if (vocabulary.tokens.size() > static_cast<std::size_t>(rows)) {
    throw Error(ErrorKind::unsupported, source.string(), "must not have more tokens than the embedding has rows",
                std::to_string(vocabulary.tokens.size()) + " tokens, " + std::to_string(rows) + " rows");
  }
  vocabulary.resize(static_cast<std::size_t>(rows));
  keys.emplace_back("tokenizer.ggml.tokens", std::move(vocabulary.tokens));
  if (with_scores) keys.emplace_back("tokenizer.ggml.scores", std::move(vocabulary.scores));
  keys.emplace_back("tokenizer.ggml.token_type", std::move(vocabulary.kinds));
}

void add_byte_level(GgufMetadata& keys, const JsonView& root, std::int64_t rows, const fs::path& source) {
  keys.emplace_back("tokenizer.ggml.model", "gpt2");
  keys.emplace_back("tokenizer.ggml.pre", pre_tokenizer_name(root));
  Vocabulary vocabulary = json_vocabulary(root);
  add_added_tokens(root, vocabulary);
  finish(keys, std::move(vocabulary), rows, false, source);
  std::vector<std::string> merges;
  for (const JsonView& merge : root.at("model").at("merges").items()) {
    const auto [left, right] = merge_parts(merge);
    merges.push_back(left + " " + right);
  }
  keys.emplace_back("tokenizer.ggml.merges", std::move(merges));
}

/// BPE whose unknown characters become bytes: llama.cpp merges by scores, so a token's score is the rank of its merge.
void add_byte_fallback(GgufMetadata& keys, const JsonView& root, std::int64_t rows, const fs::path& source) {
  keys.emplace_back("tokenizer.ggml.model", "llama");
  Vocabulary vocabulary = json_vocabulary(root);
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
    if (vocabulary.kinds[id] != static_cast<std::int32_t>(TokenKind::normal)) continue;
    vocabulary.scores[id] = rank != ranks.end() ? rank->second : lowest;
    vocabulary.kinds[id] = static_cast<std::int32_t>(byte               ? TokenKind::byte
                                                     : token == unknown ? TokenKind::unknown
                                                                        : TokenKind::normal);
    if (token == unknown) keys.emplace_back("tokenizer.ggml.unknown_token_id", static_cast<std::uint32_t>(id));
  }
  add_added_tokens(root, vocabulary);
  finish(keys, std::move(vocabulary), rows, true, source);
  const bool prefix = root.value().dump().find("\"Prepend\"") != std::string::npos ||
                      root.value().dump().find("\"prepend_scheme\":\"first\"") != std::string::npos ||
                      root.value().dump().find("\"prepend_scheme\":\"always\"") != std::string::npos;
  keys.emplace_back("tokenizer.ggml.add_space_prefix", prefix);
}

void add_sentencepiece(GgufMetadata& keys, const fs::path& file, std::int64_t rows) {
  const SentencePieceModel pieces = read_sentencepiece_model(file);
  if (pieces.algorithm != SentencePieceModel::Algorithm::bpe) {
    throw Error(ErrorKind::unsupported, file.string(), "--format gguf takes SentencePiece models of the kind BPE",
                "unigram");
  }
  if (pieces.remove_extra_spaces) {
    throw Error(ErrorKind::unsupported, file.string(), "--format gguf takes SentencePiece models that keep all spaces",
                "remove_extra_whitespaces");
  }
  keys.emplace_back("tokenizer.ggml.model", "llama");
  keys.emplace_back("tokenizer.ggml.pre", "default");
  Vocabulary vocabulary;
  for (std::size_t id = 0; id < pieces.pieces.size(); ++id) {
    const SentencePieceEntry& piece = pieces.pieces[id];
    vocabulary.set(id, piece.text, piece.score, piece.kind);
  }
  finish(keys, std::move(vocabulary), rows, true, file);
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
