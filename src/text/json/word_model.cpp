#include "text/json/word_model.hpp"

#include "support/in_quotes.hpp"
#include "text/json/bpe.hpp"
#include "text/json/unigram.hpp"
#include "text/json/word_piece.hpp"

namespace qcqa {
namespace {

/// Files of before 2021 do not name the type.
std::string type_of(const JsonView& description) {
  if (const auto type = description.find("type")) return type->text();
  if (description.find("merges")) return "BPE";
  if (description.find("max_input_chars_per_word")) return "WordPiece";
  if (const auto vocabulary = description.find("vocab"); vocabulary && vocabulary->value().is_array()) return "Unigram";
  unsupported(description, "a model without a type");
}

}  // namespace

std::unique_ptr<const WordModel> make_word_model(const JsonView& description) {
  const std::string type = type_of(description);
  if (type == "BPE") return std::make_unique<const Bpe>(description);
  if (type == "Unigram") return std::make_unique<const Unigram>(description);
  if (type == "WordPiece") return std::make_unique<const WordPiece>(description);
  if (type == "WordLevel") return std::make_unique<const WordLevel>(description);
  unsupported(description, "model type " + in_quotes(type));
}

StringMap<TokenId> read_vocabulary(const JsonView& description) {
  const JsonView vocabulary = description.at("vocab");
  if (!vocabulary.value().is_object()) vocabulary.corrupt("must be an object");
  StringMap<TokenId> result;
  result.reserve(vocabulary.value().size());
  for (const auto& [token, id] : vocabulary.value().items()) {
    result.emplace(token, static_cast<TokenId>(vocabulary.part(id).integer(0, WordModel::kLargestId)));
  }
  if (result.empty()) vocabulary.corrupt("must not be empty");
  return result;
}

std::string byte_token(unsigned byte) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + ">";
}

}  // namespace qcqa
