#include "text/gguf_tokenizer_files.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"
#include "text/llama_cpp_split.hpp"
#include "text/sentencepiece/sentencepiece_model.hpp"
#include "text/unicode/unicode.hpp"
#include "text/vocabulary_files.hpp"

namespace qcqa {
namespace {

using nlohmann::json;

constexpr const char* kModel = "tokenizer.ggml.model";
constexpr const char* kGiveTokenIds = "Give token ids (--token-ids).";
constexpr std::string_view kTemplate = "tokenizer.chat_template";

struct NamedId {
  const char* key;   ///< in GGUF, between "tokenizer.ggml." and "_token_id"
  const char* name;  ///< in tokenizer_config.json
};
constexpr std::array<NamedId, 6> kNamedIds = {{{"bos", "bos_token"},
                                               {"eos", "eos_token"},
                                               {"unknown", "unk_token"},
                                               {"padding", "pad_token"},
                                               {"seperator", "sep_token"},  // GGUF spells it so
                                               {"mask", "mask_token"}}};

class GgufTokenizerReader {
 public:
  explicit GgufTokenizerReader(const GgufFile& file) : file_(file), where_(file.file->path().string()) {}

  GgufTokenizerFiles run() {
    if (!has_vocabulary(file_)) {
      throw Error(ErrorKind::not_found, where_, "must hold a vocabulary", "none", kGiveTokenIds);
    }
    read_tokens();
    const std::string model = text(kModel);
    if (model == "gpt2") {
      read_byte_level();
    } else if (model == "llama") {
      read_sentencepiece();
    } else {
      throw Error(ErrorKind::unsupported, where_, "the tokenizer must be of the kind gpt2 or llama", in_quotes(model),
                  kGiveTokenIds);
    }
    add_tokens();
    add_template();
    name_tokens();
    add_chat_templates();
    return std::move(files_);
  }

 private:
  template <typename T>
  const T* find(const std::string& key) const {
    const GgufValue* value = file_.find(key);
    return value ? std::get_if<T>(value) : nullptr;
  }
  [[nodiscard]] std::string text(const std::string& key) const {
    const auto* value = find<std::string>(key);
    return value ? *value : std::string();
  }
  [[nodiscard]] bool flag(const std::string& key, bool otherwise) const {
    const auto* value = find<bool>(key);
    return value ? *value : otherwise;
  }
  [[noreturn]] void corrupt(const std::string& rule, const std::string& found) const {
    throw Error(ErrorKind::corrupt, where_, rule, found);
  }

  void read_tokens() {
    tokens_ = *find<std::vector<std::string>>("tokenizer.ggml.tokens");
    for (const std::string& token : tokens_) {
      if (invalid_utf8_at(token)) corrupt("every token must be UTF-8", "another one");
    }
    if (const auto* kinds = find<std::vector<std::int32_t>>("tokenizer.ggml.token_type")) {
      if (kinds->size() != tokens_.size())
        corrupt("every token must have a type", std::to_string(kinds->size()) + " types");
      for (const std::int32_t kind : *kinds) {
        if (kind < 1 || kind > 6) corrupt("a token's type is from 1 to 6", std::to_string(kind));
        kinds_.push_back(static_cast<PieceKind>(kind));
      }
    } else {
      kinds_.assign(tokens_.size(), PieceKind::normal);
    }
  }

  void read_byte_level() {
    const std::string name = text("tokenizer.ggml.pre");
    const auto rows = llama_cpp_splits();
    const auto row = std::ranges::find(rows, std::string_view(name), &LlamaCppSplit::name);
    if (row == rows.end()) {
      throw Error(ErrorKind::unsupported, where_, "tokenizer.ggml.pre must be a way to split text that qcqa knows",
                  name.empty() ? "none" : in_quotes(name), kGiveTokenIds);
    }
    adds_bos_ = row->adds_bos;
    json vocabulary = json::object(), merges = json::array();
    for (std::size_t id = 0; id < tokens_.size(); ++id) vocabulary.emplace(tokens_[id], id);
    const auto* pairs = find<std::vector<std::string>>("tokenizer.ggml.merges");
    if (!pairs) corrupt("needs tokenizer.ggml.merges", "none");
    for (const std::string& pair : *pairs) {
      const std::size_t space = pair.find(' ', 1);
      if (space == std::string::npos || invalid_utf8_at(pair))
        corrupt("a merge is two tokens with a space between", "another");
      merges.push_back({pair.substr(0, space), pair.substr(space + 1)});
    }
    files_.tokenizer["model"] = {{"type", "BPE"},
                                 {"dropout", nullptr},
                                 {"unk_token", nullptr},
                                 {"continuing_subword_prefix", nullptr},
                                 {"end_of_word_suffix", nullptr},
                                 {"fuse_unk", false},
                                 {"byte_fallback", false},
                                 {"ignore_merges", row->ignore_merges},
                                 {"vocab", std::move(vocabulary)},
                                 {"merges", std::move(merges)}};
    files_.tokenizer["normalizer"] = nullptr;
    files_.tokenizer["pre_tokenizer"] = row->pre_tokenizer;
    files_.tokenizer["decoder"] = {
        {"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  }

  /// llama.cpp has SentencePiece's algorithm: merges by score.
  void read_sentencepiece() {
    adds_bos_ = true;
    const auto* scores = find<std::vector<float>>("tokenizer.ggml.scores");
    if (!scores || scores->size() != tokens_.size())
      corrupt("every token must have a score", scores ? "fewer" : "none");
    SentencePieceModel pieces;
    pieces.where = where_;
    pieces.algorithm = SentencePieceModel::Algorithm::bpe;
    pieces.add_dummy_prefix = flag("tokenizer.ggml.add_space_prefix", true);
    pieces.remove_extra_spaces = flag("tokenizer.ggml.remove_extra_whitespaces", false);
    pieces.unknown_id = -1;
    for (std::size_t id = 0; id < tokens_.size(); ++id) {
      pieces.pieces.push_back({tokens_[id], (*scores)[id], kinds_[id]});
      pieces.byte_fallback = pieces.byte_fallback || kinds_[id] == PieceKind::byte;
      if (kinds_[id] != PieceKind::unknown || pieces.unknown_id >= 0) continue;
      pieces.unknown_id = static_cast<std::int32_t>(id);
      pieces.unknown_piece = tokens_[id];
    }
    files_.tokenizer = sentencepiece_document(pieces, {}, true);
    if (pieces.unknown_id < 0) files_.tokenizer["model"]["unk_token"] = nullptr;
  }

  void add_tokens() {
    json added = json::array();
    for (std::size_t id = 0; id < tokens_.size(); ++id) {
      const bool control = kinds_[id] == PieceKind::control || kinds_[id] == PieceKind::unknown;
      if (!control && kinds_[id] != PieceKind::user_defined) continue;
      added.push_back({{"id", id},
                       {"content", tokens_[id]},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", control}});
    }
    files_.tokenizer["version"] = "1.0";
    files_.tokenizer["truncation"] = nullptr;
    files_.tokenizer["padding"] = nullptr;
    files_.tokenizer["added_tokens"] = std::move(added);
  }

  [[nodiscard]] std::optional<std::size_t> id_of(const char* key) const {
    const auto* id = find<std::uint32_t>("tokenizer.ggml." + std::string(key) + "_token_id");
    if (!id || *id >= tokens_.size()) return std::nullopt;
    return *id;
  }

  /// What is put around a text.
  void add_template() {
    files_.tokenizer["post_processor"] = nullptr;
    json single = json::array({json{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}});
    json pair = json::array({single[0], json{{"Sequence", {{"id", "B"}, {"type_id", 0}}}}});
    json specials = json::object();
    const auto token = [&](std::size_t id) {
      specials[tokens_[id]] = {{"id", tokens_[id]}, {"ids", {id}}, {"tokens", {tokens_[id]}}};
      return json{{"SpecialToken", {{"id", tokens_[id]}, {"type_id", 0}}}};
    };
    if (const auto bos = id_of("bos"); bos && flag("tokenizer.ggml.add_bos_token", adds_bos_)) {
      single.insert(single.begin(), token(*bos));
      pair.insert(pair.begin(), token(*bos));
    }
    if (const auto eos = id_of("eos"); eos && flag("tokenizer.ggml.add_eos_token", false)) {
      single.push_back(token(*eos));
      pair.push_back(token(*eos));
    }
    if (specials.empty()) return;
    files_.tokenizer["post_processor"] = {{"type", "TemplateProcessing"},
                                          {"single", std::move(single)},
                                          {"pair", std::move(pair)},
                                          {"special_tokens", std::move(specials)}};
  }

  /// Naming a token makes it one that is looked for before anything else. Configurations carry ids of other
  /// vocabularies by mistake, which must not do that to an ordinary word.
  [[nodiscard]] bool may_be_special(std::size_t id) const {
    const std::string& token = tokens_[id];
    return kinds_[id] != PieceKind::normal || (token.size() > 2 && token.front() == '<' && token.back() == '>');
  }

  void name_tokens() {
    files_.config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
    for (const NamedId& row : kNamedIds) {
      if (const auto id = id_of(row.key); id && may_be_special(*id)) files_.config[row.name] = tokens_[*id];
    }
  }

  void add_chat_templates() {
    json more = json::array();
    for (const auto& [key, value] : file_.metadata) {
      const auto* content = std::get_if<std::string>(&value);
      if (!content || !key.starts_with(kTemplate) || invalid_utf8_at(*content) || invalid_utf8_at(key)) continue;
      if (key == kTemplate) {
        more.push_back({{"name", "default"}, {"template", *content}});
      } else if (key[kTemplate.size()] == '.') {
        more.push_back({{"name", key.substr(kTemplate.size() + 1)}, {"template", *content}});
      }
    }
    if (more.size() == 1 && more[0]["name"] == "default") {
      files_.config["chat_template"] = more[0]["template"];
    } else if (!more.empty()) {
      files_.config["chat_template"] = std::move(more);
    }
  }

  const GgufFile& file_;
  std::string where_;
  std::vector<std::string> tokens_;
  std::vector<PieceKind> kinds_;
  bool adds_bos_ = false;
  GgufTokenizerFiles files_;
};

}  // namespace

bool has_vocabulary(const GgufFile& file) {
  const GgufValue* tokens = file.find("tokenizer.ggml.tokens");
  return tokens && std::holds_alternative<std::vector<std::string>>(*tokens);
}

GgufTokenizerFiles gguf_tokenizer_files(const GgufFile& file) { return GgufTokenizerReader(file).run(); }

}  // namespace qcqa
