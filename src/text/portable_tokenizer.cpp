#include "text/portable_tokenizer.hpp"

#include <algorithm>

#include "text/tokenizer_cache.hpp"
#include "text/tokenizer_settings.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json entry_of(const AddedToken& token) {
  return {{"content", token.content}, {"single_word", token.single_word}, {"lstrip", token.lstrip},
          {"rstrip", token.rstrip},   {"normalized", token.normalized},   {"special", token.special}};
}

class Writer {
 public:
  explicit Writer(const TokenizerDescription& tokenizer) : tokenizer_(tokenizer) {
    for (const auto& [token, id] : tokenizer.words->vocabulary()) names_[id] = token;
    for (const AddedToken& token : tokenizer.added) names_[token.id] = token.content;
  }

  PortableTokenizer run() const {
    std::vector<AddedToken> added = tokenizer_.added;
    std::ranges::sort(added, {}, &AddedToken::id);
    PortableTokenizer files;
    files.tokenizer = tokenizer_.document;
    files.tokenizer["version"] = "1.0";
    for (const char* key : {"truncation", "padding"}) files.tokenizer[key] = nullptr;
    for (const char* key : {"normalizer", "pre_tokenizer", "decoder"}) files.tokenizer.emplace(key, nullptr);
    files.tokenizer["post_processor"] = post_processor();
    json list = json::array(), by_id = json::object();
    for (const AddedToken& token : added) {
      json entry = entry_of(token);
      by_id[std::to_string(token.id)] = entry;
      entry["id"] = token.id;
      list.push_back(std::move(entry));
    }
    files.tokenizer["added_tokens"] = std::move(list);
    files.config = tokenizer_.config;
    files.config["tokenizer_class"] = "PreTrainedTokenizerFast";
    files.config["added_tokens_decoder"] = std::move(by_id);
    for (const char* key :
         {"auto_map", "legacy", "add_prefix_space", "extra_special_tokens", "additional_special_tokens"})
      files.config.erase(key);
    for (const auto& [key, name] : tokenizer_.named) files.config[key] = names_.at(name.id);
    return files;
  }

 private:
  [[nodiscard]] json post_processor() const {
    if (tokenizer_.before.empty() && tokenizer_.after.empty()) return nullptr;
    json single = json::array(), specials = json::object();
    const auto put = [&](const std::vector<TokenId>& ids) {
      for (const TokenId id : ids) {
        const auto known = names_.find(id);
        const std::string name = known == names_.end() ? std::to_string(id) : known->second;
        single.push_back(json{{"SpecialToken", {{"id", name}, {"type_id", 0}}}});
        specials[name] = {{"id", name}, {"ids", json::array({id})}, {"tokens", json::array({name})}};
      }
    };
    put(tokenizer_.before);
    single.push_back(json{{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
    put(tokenizer_.after);
    json pair = single;
    pair.push_back(json{{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
    return {{"type", "TemplateProcessing"},
            {"single", std::move(single)},
            {"pair", std::move(pair)},
            {"special_tokens", std::move(specials)}};
  }

  const TokenizerDescription& tokenizer_;
  std::map<TokenId, std::string> names_;
};

}  // namespace

std::optional<PortableTokenizer> tokenizer_beside(const fs::path& folder, const std::string& model_type) {
  if (!has_tokenizer(folder)) return std::nullopt;
  const auto is_read_alike = [&](TokenizerClassHints hints) {
    const std::string_view own = choose_tokenizer_class(hints).name;
    hints.model_type = model_type;
    return choose_tokenizer_class(hints).name == own;
  };
  // Where it does not depend on tokenizer.json, nothing has to be understood of that.
  TokenizerClassHints hints = tokenizer_class_hints(folder);
  const bool otherwise = is_read_alike(hints);
  hints.is_byte_level = true;
  if (otherwise && is_read_alike(hints)) return std::nullopt;
  const auto tokenizer = described_tokenizer(folder);
  if (is_read_alike(tokenizer->class_hints)) return std::nullopt;
  return Writer(*tokenizer).run();
}

}  // namespace qcqa
