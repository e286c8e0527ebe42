#include "text/json_tokenizer.hpp"

#include <algorithm>

#include "checkpoint/json_file.hpp"
#include "support/in_quotes.hpp"
#include "text/added_tokens.hpp"
#include "text/bpe.hpp"
#include "text/decoder.hpp"
#include "text/normalizer.hpp"
#include "text/pre_tokenizer.hpp"

namespace qcqa {
namespace {

JsonView checked_model(const JsonView& root) {
  const JsonView model = root.at("model");
  // Files of before 2021 do not name the type; those with merges are BPE.
  const std::string type = model.text_or("type", model.find("merges") ? "BPE" : "");
  if (type.empty()) model.unsupported("a model without a type");
  if (type != "BPE") model.unsupported("model type " + in_quotes(type));
  return model;
}

/// Whether a post-processor puts its special tokens with a template.
std::optional<TokenId> first_of_template(const JsonView& processor,
                                         const std::function<std::optional<TokenId>(std::string_view)>& find) {
  const std::string type = processor.type();
  if (type == "Sequence") {
    for (const JsonView& step : processor.at("processors").items()) {
      if (const auto token = first_of_template(step, find)) return token;
    }
  } else if (type == "TemplateProcessing") {
    const std::vector<JsonView> parts = processor.at("single").items();
    if (parts.empty()) return std::nullopt;
    if (const auto token = parts.front().find("SpecialToken")) return find(token->at("id").text());
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    const std::vector<JsonView> cls = processor.at("cls").items();
    if (!cls.empty()) return find(cls.front().text());
  } else if (type != "ByteLevel") {
    processor.unsupported("post_processor " + in_quotes(type));
  }
  return std::nullopt;
}

class JsonTokenizer final : public TextModel {
 public:
  explicit JsonTokenizer(const JsonView& root) : bpe_(checked_model(root)) {
    if (const auto normalizer = root.find("normalizer")) normalizer_ = make_normalizer(*normalizer);
    if (const auto words = root.find("pre_tokenizer")) pre_tokenizer_ = make_pre_tokenizer(*words);
    if (const auto decoder = root.find("decoder")) decoder_ = make_decoder(*decoder);
    for (const auto& [token, id] : bpe_.vocabulary()) entry(id).spelling = token;
    for (const AddedToken& token : read_added_tokens(root, Bpe::kLargestId)) {
      // The package looks for the normalised spelling, and decodes to it as well.
      const std::string spelling = token.normalized && normalizer_ ? normalizer_(token.content) : token.content;
      entry(token.id) = {spelling, token.special};
      added_ids_.emplace(token.content, token.id);
      (token.normalized ? in_normalized_text_ : in_raw_text_).add(token, spelling);
    }
    if (const auto processor = root.find("post_processor")) {
      leading_token_ = first_of_template(*processor, [this](std::string_view token) { return find(token); });
    }
  }

  std::vector<TokenId> encode(std::string_view text) const override {
    Pieces raw, pieces;
    in_raw_text_.split(text, true, raw);
    for (const Piece& piece : raw.all()) {
      if (piece.id != Piece::kIsText) {
        pieces.add(piece);
      } else {
        const std::string_view normalized = normalizer_ ? raw.keep(normalizer_(piece.text)) : piece.text;
        in_normalized_text_.split(normalized, piece.at_start, pieces);
      }
    }
    if (pre_tokenizer_) pre_tokenizer_(pieces);
    std::vector<TokenId> ids;
    ids.reserve(text.size() / 3);
    for (const Piece& piece : pieces.all()) {
      if (piece.id != Piece::kIsText) {
        ids.push_back(piece.id);
      } else {
        bpe_.encode(piece.text, ids);
      }
    }
    return ids;
  }

  std::string decode(std::span<const TokenId> ids) const override {
    std::vector<std::string> tokens;
    for (const TokenId id : ids) {
      const Entry& token = entries_[static_cast<std::size_t>(id)];
      if (!token.is_special && !token.spelling.empty()) tokens.push_back(token.spelling);
    }
    std::string result;
    if (decoder_) {
      for (const std::string& part : decoder_(std::move(tokens))) result += part;
    } else {
      for (const std::string& token : tokens) result.append(result.empty() ? "" : " ").append(token);
    }
    return result;
  }

  std::size_t size() const override { return entries_.size(); }

  std::optional<TokenId> find(std::string_view token) const override {
    if (const auto added = added_ids_.find(token); added != added_ids_.end()) return added->second;
    const auto found = bpe_.vocabulary().find(token);
    return found == bpe_.vocabulary().end() ? std::nullopt : std::optional(found->second);
  }

  std::optional<TokenId> leading_token() const override { return leading_token_; }
  std::optional<TokenId> bos() const override { return leading_token_; }
  std::optional<TokenId> eos() const override { return std::nullopt; }

 private:
  struct Entry {
    std::string spelling;  // empty for an id that no token has
    bool is_special = false;
  };

  Entry& entry(TokenId id) {
    const auto place = static_cast<std::size_t>(id);
    if (place >= entries_.size()) entries_.resize(place + 1);
    return entries_[place];
  }

  Bpe bpe_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  Decoder decoder_;
  std::vector<Entry> entries_;
  StringMap<TokenId> added_ids_;
  AddedTokenFinder in_raw_text_, in_normalized_text_;
  std::optional<TokenId> leading_token_;
};

}  // namespace

std::unique_ptr<const TextModel> open_json_tokenizer(const std::filesystem::path& file) {
  const nlohmann::json document = read_json_file(file, "Download the file again.");
  return std::make_unique<const JsonTokenizer>(JsonView(document, file.string() + ":"));
}

}  // namespace qcqa
