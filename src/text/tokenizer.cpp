#include "qcqa/text/tokenizer.hpp"

#include "qcqa/support/error.hpp"
#include "text/json_tokenizer.hpp"
#include "text/json_view.hpp"
#include "text/sentencepiece_tokenizer.hpp"
#include "text/special_tokens.hpp"
#include "text/text_model.hpp"
#include "text/unicode.hpp"

namespace qcqa {

Tokenizer::Tokenizer(std::filesystem::path source, std::unique_ptr<const TextModel> model, SpecialTokens special)
    : source_(std::move(source)), model_(std::move(model)), special_(std::move(special)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::open(const std::filesystem::path& model_folder) {
  const std::filesystem::path json = model_folder / "tokenizer.json", pieces = model_folder / "tokenizer.model";
  std::filesystem::path source;
  std::unique_ptr<const TextModel> model;
  if (std::filesystem::exists(json)) {
    source = json;
    model = open_json_tokenizer(json);
  } else if (std::filesystem::exists(pieces)) {
    source = pieces;
    model = open_sentencepiece(pieces);
  } else {
    throw Error(ErrorKind::not_found, model_folder.string(), "must have a tokenizer.json or a tokenizer.model",
                "neither", std::string("Copy the tokenizer's files there. Or: ").append(kUseTokenIds));
  }
  SpecialTokens special = find_special_tokens(model_folder, *model);
  return Tokenizer(std::move(source), std::move(model), std::move(special));
}

std::vector<TokenId> Tokenizer::encode(std::string_view text) const {
  if (const auto position = invalid_utf8_at(text)) {
    throw Error(ErrorKind::invalid_argument, "text", "must be UTF-8",
                "something else at byte " + std::to_string(*position));
  }
  return model_->encode(text);
}

std::string Tokenizer::decode(std::span<const TokenId> ids) const {
  for (const TokenId id : ids) {
    if (id < 0 || static_cast<std::size_t>(id) >= model_->size()) {
      throw Error(ErrorKind::invalid_argument, source_.string(),
                  "token ids go from 0 to " + std::to_string(model_->size() - 1), std::to_string(id));
    }
  }
  return model_->decode(ids);
}

std::size_t Tokenizer::vocabulary_size() const { return model_->size(); }

}  // namespace qcqa
