#include "text/json/post_processor.hpp"

#include "support/in_quotes.hpp"
#include "text/json/word_model.hpp"

namespace qcqa {
namespace {

TokenId read_id(const JsonView& value) { return static_cast<TokenId>(value.integer(0, WordModel::kLargestId)); }

/// The ids of a special token: those of the template's own table, which nothing checks against the vocabulary.
std::vector<TokenId> ids_of(const JsonView& description, const JsonView& token, const AddedVocabulary& vocabulary) {
  const std::string name = token.at("id").text();
  if (const auto table = description.find("special_tokens")) {
    if (const auto entry = table->find(name)) {
      std::vector<TokenId> ids;
      for (const JsonView& id : entry->at("ids").items()) ids.push_back(read_id(id));
      return ids;
    }
  }
  const auto id = vocabulary.find(name);
  if (!id) token.corrupt("must be a token of the vocabulary", in_quotes(name));
  return {*id};
}

TextFrame read_template(const JsonView& description, const AddedVocabulary& vocabulary) {
  TextFrame frame;
  bool behind = false;
  for (const JsonView& part : description.at("single").items()) {
    const auto token = part.find("SpecialToken");
    if (!token) {
      behind = true;
      continue;
    }
    std::vector<TokenId>& side = behind ? frame.after : frame.before;
    for (const TokenId id : ids_of(description, *token, vocabulary)) side.push_back(id);
  }
  return frame;
}

/// BERT's and RoBERTa's: ["[CLS]", 101] before, `sep` behind.
TextFrame read_pair(const JsonView& description) {
  const auto id = [&](const char* key) {
    const std::vector<JsonView> pair = description.at(key).items();
    if (pair.size() != 2) description.corrupt(std::string(key) + " must be a token and its id");
    return read_id(pair[1]);
  };
  return {{id("cls")}, {id("sep")}};
}

}  // namespace

TextFrame read_post_processor(const JsonView& description, const AddedVocabulary& vocabulary) {
  const std::string type = description.type();
  if (type == "ByteLevel") return {};
  if (type == "TemplateProcessing") return read_template(description, vocabulary);
  if (type == "BertProcessing" || type == "RobertaProcessing") return read_pair(description);
  if (type != "Sequence") unsupported(description, "post_processor " + in_quotes(type));
  TextFrame frame;
  for (const JsonView& step : description.at("processors").items()) {
    const TextFrame outer = read_post_processor(step, vocabulary);
    frame.before.insert(frame.before.begin(), outer.before.begin(), outer.before.end());
    frame.after.insert(frame.after.end(), outer.after.begin(), outer.after.end());
  }
  return frame;
}

}  // namespace qcqa
