#include "text/tokenizer_description.hpp"

#include <algorithm>
#include <array>

#include "checkpoint/gguf.hpp"
#include "checkpoint/json_file.hpp"
#include "support/advice.hpp"
#include "support/in_quotes.hpp"
#include "text/gguf_tokenizer_files.hpp"
#include "text/json/post_processor.hpp"
#include "text/tokenizer_settings.hpp"
#include "text/vocabulary_files.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::array<const char*, 8> kVocabularies = {"tokenizer.json", "tokenizer.model", "vocab.json",
                                                      "merges.txt",     "tekken.json",     "vocab.txt",
                                                      "tiktoken.model", "spiece.model"};

/// Links whose target was not downloaded look like files to a user, and like nothing to a program.
void refuse_dangling_links(const fs::path& folder) {
  for (const char* name : kVocabularies) {
    std::error_code ignored;
    const fs::path file = folder / name;
    if (!fs::is_symlink(file, ignored) || fs::exists(file, ignored)) continue;
    throw Error(ErrorKind::not_found, file.string(), "is a link to a file that is not there",
                fs::read_symlink(file, ignored).string(), "Download the file, or copy it in place of the link.");
  }
}

[[noreturn]] void refuse_missing(const fs::path& folder, const TokenizerClass& own) {
  std::string found;
  for (const char* name : kVocabularies) {
    if (fs::exists(folder / name)) found.append(found.empty() ? "" : ", ").append(name);
  }
  if (found.empty()) {
    throw Error(ErrorKind::not_found, folder.string(),
                "must have a tokenizer.json, a tokenizer.model, or vocab.json with merges.txt", "none of them",
                std::string("Copy the tokenizer's files there. Or: ").append(kUseTokenIds));
  }
  const bool names_class = !own.reads_vocab_json && fs::exists(folder / "vocab.json");
  throw Error(
      ErrorKind::unsupported, folder.string(),
      "must have a tokenizer.json, a tokenizer.model, or vocab.json with merges.txt", found + " only",
      std::string(names_class ? "Name the class that reads them in tokenizer_config.json (tokenizer_class, such as "
                                "GPT2Tokenizer or Qwen2Tokenizer). Or: "
                              : "Save the tokenizer with transformers (save_pretrained), which writes a "
                                "tokenizer.json. Or: ")
          .append(kUseTokenIds));
}

class Describer {
 public:
  explicit Describer(const fs::path& folder) : folder_(folder) {}

  TokenizerDescription run() {
    if (is_gguf(folder_)) {
      GgufTokenizerFiles files = gguf_tokenizer_files(read_gguf(folder_));
      file_ = std::move(files.tokenizer);
      settings_ = read_tokenizer_settings(folder_, file_, std::move(files.config));
      take_json();
      result_.source = folder_;
      build();
      return std::move(result_);
    }
    refuse_dangling_links(folder_);
    if (fs::exists(folder_ / "tokenizer.json")) {
      file_ = read_json_file(folder_ / "tokenizer.json", kFetchAgain);
      (void)view(file_, folder_ / "tokenizer.json").find("");  // must be an object
    }
    settings_ = read_tokenizer_settings(folder_, file_);
    if (!file_.is_null()) {
      take_json();
    } else if (fs::exists(folder_ / "tokenizer.model")) {
      take_pieces();
    } else if (own().reads_vocab_json && fs::exists(folder_ / "vocab.json") && fs::exists(folder_ / "merges.txt")) {
      result_.source = folder_ / "vocab.json";
      result_.document["model"] = read_vocab_and_merges(folder_);
    } else {
      refuse_missing(folder_, own());
    }
    if (own().steps != TokenizerClass::Steps::plain) take_steps();
    build();
    return std::move(result_);
  }

 private:
  [[nodiscard]] const TokenizerClass& own() const { return settings_.tokenizer_class; }
  [[nodiscard]] static JsonView view(const json& document, const fs::path& file) {
    return tokenizer_view(document, file);
  }

  void take_json() {
    result_.source = folder_ / "tokenizer.json";
    const JsonView root = view(file_, result_.source);
    const JsonView model = root.at("model");
    if (!own().is_known) {
      result_.notes.push_back(
          "tokenizer_config.json names a class whose steps qcqa does not have; tokenizer.json is "
          "followed as it is");
    }
    if (own().steps == TokenizerClass::Steps::plain) {
      result_.document = file_;
      result_.document.erase("added_tokens");
      return;
    }
    // These classes have a BPE whatever the file says.
    json& taken = result_.document["model"];
    const JsonView vocabulary = model.at("vocab");
    if (vocabulary.value().is_array()) {
      taken["vocab"] = json::object();
      std::size_t id = 0;
      for (const JsonView& entry : vocabulary.items()) {
        taken["vocab"][entry.value().is_array() ? entry.items().at(0).text() : entry.text()] = id++;
      }
    } else {
      taken["vocab"] = vocabulary.value();
    }
    const auto merges = model.find("merges");
    taken["merges"] = merges ? merges->value() : json::array();
  }

  void take_pieces() {
    result_.source = folder_ / "tokenizer.model";
    if (!own().is_known) {
      throw Error(
          ErrorKind::unsupported, folder_.string(),
          "tokenizer_config.json must name a class whose steps qcqa has, or the folder hold a tokenizer.json",
          settings_.config.value("tokenizer_class", "another class"),
          std::string("Save the tokenizer with transformers (save_pretrained), which writes a tokenizer.json. Or: ")
              .append(kUseTokenIds));
    }
    result_.pieces = read_sentencepiece_model(result_.source);
    const SentencePieceModel& pieces = *result_.pieces;
    const bool plain = own().steps == TokenizerClass::Steps::plain;
    if (!settings_.has_extra) settings_.extra = sentencepiece_added(pieces, !plain);
    result_.notes.push_back(
        "tokenizer.model is read as transformers reads it, which splits runs of spaces and special tokens in a text "
        "otherwise than SentencePiece (--tokenizer sentencepiece)");
    if (!plain) {
      result_.document["model"] = sentencepiece_bpe(pieces);
      return;
    }
    result_.document = sentencepiece_document(pieces, settings_.added, settings_.legacy);
    if (pieces.add_dummy_prefix) {
      for (AddedToken& token : settings_.added) token.normalized = false;
    }
    if (pieces.bos_id >= 0) settings_.offer("bos_token", pieces.bos_piece);
    if (pieces.eos_id >= 0) settings_.offer("eos_token", pieces.eos_piece);
    if (pieces.unknown_id >= 0) settings_.offer("unk_token", pieces.unknown_piece);
  }

  void take_steps() {
    const TokenizerSettings::Named* unknown = settings_.find("unk_token");
    TokenizerSteps steps =
        steps_of(own(), settings_.add_prefix_space, settings_.legacy, unknown ? unknown->token.content : "<unk>");
    json& model = result_.document["model"];
    for (const auto& [key, value] : steps.model.items()) model[key] = value;
    result_.document["normalizer"] = std::move(steps.normalizer);
    result_.document["pre_tokenizer"] = std::move(steps.pre_tokenizer);
    result_.document["decoder"] = std::move(steps.decoder);
  }

  void build() {
    result_.words = make_word_model(view(result_.document, result_.source).at("model"));
    AddedVocabulary vocabulary(result_.words->vocabulary(), result_.words->count());
    add_tokens(vocabulary);
    for (const TokenizerSettings::Named& name : settings_.named) {
      if (const auto id = vocabulary.find(name.token.content)) result_.named[name.key] = {*id, name.from_class};
    }
    place_template(vocabulary);
    result_.added = vocabulary.tokens();
    result_.split_special = settings_.split_special;
    result_.trusts_looks = settings_.trusts_looks;
    result_.config = std::move(settings_.config);
    result_.class_hints = std::move(settings_.hints);
  }

  void add_tokens(AddedVocabulary& vocabulary) const {
    if (own().steps == TokenizerClass::Steps::plain && !file_.is_null()) {
      if (const auto tokens = view(file_, result_.source).find("added_tokens")) {
        for (const JsonView& token : tokens->items()) vocabulary.add(AddedToken::read(token));
      }
    }
    const auto is_named = [&](const AddedToken& token) {
      return std::ranges::any_of(settings_.named,
                                 [&](const auto& name) { return name.token.content == token.content; });
    };
    for (AddedToken token : settings_.added) {
      token.special = token.special || is_named(token);
      vocabulary.add(std::move(token));
    }
    for (const TokenizerSettings::Named& name : settings_.named) {
      if (!vocabulary.has(name.token.content)) vocabulary.add(name.token);
    }
    for (const AddedToken& token : settings_.extra) {
      if (!vocabulary.has(token.content)) vocabulary.add(token);
    }
    if (!own().special_by_name) return;
    for (const auto& name : settings_.named) vocabulary.add(AddedToken::plain(name.token.content, true));
    for (const AddedToken& token : settings_.extra) vocabulary.add(AddedToken::plain(token.content, true));
  }

  void place_template(const AddedVocabulary& vocabulary) {
    const auto id_of = [&](const char* key) -> std::optional<TokenId> {
      const TokenizerSettings::Named* name = settings_.find(key);
      return name ? vocabulary.find(name->token.content) : std::nullopt;
    };
    if (own().roberta_template) {
      if (const auto begin = id_of("cls_token")) result_.before = {*begin};
      if (const auto end = id_of("sep_token")) result_.after = {*end};
      return;
    }
    std::optional<JsonView> processor;
    if (!file_.is_null()) processor = view(file_, result_.source).find("post_processor");
    if (processor && own().follows_template && !settings_.add_bos && !settings_.add_eos) {
      const TextFrame frame = read_post_processor(*processor, vocabulary);
      result_.before = frame.before;
      result_.after = frame.after;
      return;
    }
    if (const auto bos = id_of("bos_token"); bos && settings_.add_bos.value_or(false)) result_.before = {*bos};
    if (const auto eos = id_of("eos_token"); eos && settings_.add_eos.value_or(false)) result_.after = {*eos};
  }

  const fs::path& folder_;
  json file_;  // tokenizer.json, or null
  TokenizerSettings settings_;
  TokenizerDescription result_;
};

}  // namespace

std::optional<TokenId> TokenizerDescription::id_of(std::string_view key) const {
  const auto it = named.find(key);
  return it == named.end() ? std::nullopt : std::optional(it->second.id);
}

bool has_tokenizer(const fs::path& folder) {
  if (is_gguf(folder)) return has_vocabulary(read_gguf(folder));
  return std::ranges::any_of(kVocabularies, [&](const char* name) {
    std::error_code ignored;
    return fs::exists(fs::symlink_status(folder / name, ignored));
  });
}

TokenizerDescription describe_tokenizer(const fs::path& folder) { return Describer(folder).run(); }

std::vector<fs::path> tokenizer_files(const fs::path& model) {
  if (is_gguf(model)) return {model};
  std::vector<fs::path> files;
  for (const char* name : kVocabularies) files.push_back(model / name);
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json"}) {
    files.push_back(model / name);
  }
  return files;
}

}  // namespace qcqa
