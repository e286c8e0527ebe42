#include "text/tokenizer_settings.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <utility>

#include "checkpoint/json_file.hpp"
#include "support/advice.hpp"
#include "text/tokenizer_view.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::array<std::string_view, 7> kNames = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                    "pad_token", "cls_token", "mask_token"};

bool is_standard(std::string_view key) { return std::ranges::find(kNames, key) != kNames.end(); }

/// An empty object when there is no such file.
json read_object(const fs::path& file) {
  if (!fs::exists(file)) return json::object();
  json document = read_json_file(file, kFetchAgain);
  (void)tokenizer_view(document, file).members();  // must be an object
  return document;
}

bool mentions_byte_level(const json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>() == "ByteLevel";
  if (!value.is_structured()) return false;
  return std::ranges::any_of(value, mentions_byte_level);
}

std::optional<std::string> text_of(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? std::optional(it->get<std::string>()) : std::nullopt;
}

/// A token that is named by its text, or by an object with flags.
AddedToken read_token(const JsonView& value) {
  if (value.value().is_string()) return AddedToken::plain(value.text(), true);
  return AddedToken::read(value);
}

/// @param config  tokenizer_config.json  @param model  config.json
TokenizerClassHints class_hints(const json& config, const json& tokenizer_json, const json& model) {
  TokenizerClassHints hints;
  hints.model_type = text_of(model, "model_type").value_or("");
  hints.model_config = text_of(model, "tokenizer_class");
  hints.declared = text_of(config, "tokenizer_class");
  const auto code = config.find("auto_map");
  hints.has_code = code != config.end() && (code->is_array() || code->contains("AutoTokenizer"));
  // Of the whole file, as transformers looks for the word.
  for (const char* part : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
    if (const auto it = tokenizer_json.find(part); it != tokenizer_json.end())
      hints.is_byte_level = hints.is_byte_level || mentions_byte_level(*it);
  }
  return hints;
}

class SettingsReader {
 public:
  SettingsReader(const fs::path& folder, const json& tokenizer_json)
      : folder_(folder), tokenizer_json_(tokenizer_json) {}

  TokenizerSettings run(std::optional<json> config) {
    settings_.config = config ? std::move(*config) : read_object(folder_ / "tokenizer_config.json");
    settings_.config_file = folder_ / "tokenizer_config.json";
    values_ = settings_.config;
    settings_.hints = class_hints(values_, tokenizer_json_, read_object(folder_ / "config.json"));
    settings_.tokenizer_class = choose_tokenizer_class(settings_.hints);
    read_added_tokens();
    read_extra();
    read_names();
    read_flags();
    return std::move(settings_);
  }

 private:
  [[nodiscard]] JsonView view(const json& document, const char* file) const {
    return tokenizer_view(document, folder_ / file);
  }

  using ById = std::map<std::int64_t, AddedToken>;

  void keep(ById& by_id, std::int64_t id, AddedToken token) {
    token.id = static_cast<TokenId>(std::clamp<std::int64_t>(id, -1, INT32_MAX));
    by_content_.insert_or_assign(token.content, token);
    by_id.insert_or_assign(id, std::move(token));
  }

  void read_added_tokens() {
    ById by_id;
    const JsonView config = tokenizer_view(values_, settings_.config_file);
    settings_.trusts_looks = !tokenizer_json_.is_null();
    if (const auto decoder = config.find("added_tokens_decoder")) {
      settings_.trusts_looks = true;
      for (const auto& [key, value] : decoder->members()) {
        std::int64_t id = 0;
        const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
        if (error != std::errc() || end != key.data() + key.size()) decoder->corrupt("keys must be ids", key);
        keep(by_id, id, AddedToken::read(value));
      }
    } else {
      read_special_tokens_map();
      read_added_tokens_file(by_id);
      if (const auto it = tokenizer_json_.find("added_tokens"); it != tokenizer_json_.end() && !it->is_null()) {
        for (const JsonView& entry : view(tokenizer_json_, "tokenizer.json").at("added_tokens").items()) {
          const std::int64_t id = entry.at("id").integer(0, INT32_MAX);
          keep(by_id, id, AddedToken::read(entry));
        }
      }
    }
    for (auto& [id, token] : by_id) settings_.added.push_back(std::move(token));
  }

  void read_special_tokens_map() {
    json map = read_object(folder_ / "special_tokens_map.json");
    for (auto& [key, value] : map.items()) {
      if (value.is_object() && value.contains("content")) value["special"] = true;
      if (key == "additional_special_tokens") {
        additional_ = std::move(value);
      } else if (key == "extra_special_tokens" && value.is_array() && values_.contains(key) &&
                 values_[key].is_array()) {
        for (json& token : value) values_[key].push_back(std::move(token));
      } else {
        values_[key] = std::move(value);
      }
    }
  }

  /// Special are those that another file names so.
  void read_added_tokens_file(ById& by_id) {
    const json file = read_object(folder_ / "added_tokens.json");
    for (const auto& [content, id] : view(file, "added_tokens.json").members()) {
      const std::int64_t number = id.integer(0, INT32_MAX);
      keep(by_id, number, AddedToken::plain(content, is_named(content)));
    }
  }

  [[nodiscard]] bool is_named(const std::string& content) const {
    const auto matches = [&](const json& value) {
      return value == content || (value.is_object() && value.contains("content") && value["content"] == content);
    };
    if (std::ranges::any_of(kNames, [&](std::string_view key) {
          const auto it = values_.find(std::string(key));
          return it != values_.end() && matches(*it);
        }))
      return true;
    const auto lists = [&](const char* key) {
      const auto it = values_.find(key);
      return it != values_.end() && it->is_array() && std::ranges::any_of(*it, matches);
    };
    return lists("extra_special_tokens") || lists("additional_special_tokens");
  }

  void take_extra(const JsonView& list) {
    for (const JsonView& token : list.items()) settings_.extra.push_back(read_token(token));
  }

  /// A list of more special tokens, or names for some.
  void read_extra() {
    const JsonView values = tokenizer_view(values_, settings_.config_file);
    for (const char* key : {"extra_special_tokens", "additional_special_tokens"}) {
      settings_.has_extra = settings_.has_extra || values_.contains(key);
      const auto list = values.find(key);
      if (!list || list->value().empty()) continue;
      if (!list->value().is_object()) return take_extra(*list);
      for (const auto& [name, value] : list->value().items()) more_names_.emplace_back(name, value);
      settings_.has_extra = false;
      break;
    }
    if (!settings_.has_extra && additional_.is_array()) take_extra(view(additional_, "special_tokens_map.json"));
  }

  void add_name(std::string key, const json& value, bool from_class) {
    AddedToken token = read_token({value, settings_.config_file.string() + ": " + key, kFetchAgain});
    if (token.content.empty()) return;
    // A file that lists the token with flags says more than its text.
    if (const auto known = by_content_.find(token.content); is_standard(key) && known != by_content_.end()) {
      token = known->second;
    }
    token.special = true;
    settings_.named.push_back({std::move(key), std::move(token), from_class});
  }

  void read_names() {
    const auto default_of = [&](std::string_view key) -> std::optional<std::string_view> {
      for (const auto& [name, text] : settings_.tokenizer_class.names) {
        if (name == key) return text;
      }
      return std::nullopt;
    };
    const auto add = [&](std::string_view key) {
      const auto it = values_.find(std::string(key));
      if (it != values_.end()) {
        if (it->is_string() || it->is_object()) add_name(std::string(key), *it, false);
      } else if (const auto text = default_of(key)) {
        add_name(std::string(key), json(*text), true);
      }
    };
    for (const auto& [key, value] : values_.items()) settings_.given.insert(key);
    for (const std::string_view key : kNames) add(key);
    // Names that a model brings itself, such as image_token.
    for (const auto& [key, value] : values_.items()) {
      if (key.ends_with("_token") && !is_standard(key) && value.is_string()) add_name(key, value, false);
    }
    for (const auto& [key, text] : settings_.tokenizer_class.names) {
      if (!is_standard(key) && !values_.contains(std::string(key))) add_name(std::string(key), json(text), true);
    }
    for (const auto& [key, value] : more_names_) add_name(key, value, false);
  }

  void read_flags() {
    const auto flag = [&](const char* key) -> std::optional<bool> {
      const auto it = values_.find(key);
      return it != values_.end() && it->is_boolean() ? std::optional(it->get<bool>()) : std::nullopt;
    };
    const TokenizerClass& own = settings_.tokenizer_class;
    // In a folder with a tokenizer.json these are in its post-processor, transformers says, and drops them.
    if (tokenizer_json_.is_null()) {
      settings_.add_bos = flag("add_bos_token");
      settings_.add_eos = flag("add_eos_token");
    }
    if (own.adds_bos && !settings_.add_bos) settings_.add_bos = true;
    const bool prefixes = own.steps == TokenizerClass::Steps::llama || own.steps == TokenizerClass::Steps::code_llama;
    settings_.add_prefix_space = flag("add_prefix_space").value_or(prefixes);
    settings_.legacy = flag("legacy").value_or(own.steps == TokenizerClass::Steps::plain);
    settings_.split_special = flag("split_special_tokens").value_or(false);
  }

  const fs::path& folder_;
  const json& tokenizer_json_;
  json values_;  // tokenizer_config.json with what special_tokens_map.json puts over it
  std::map<std::string, AddedToken, std::less<>> by_content_;
  std::vector<std::pair<std::string, json>> more_names_;
  json additional_;  // additional_special_tokens of special_tokens_map.json
  TokenizerSettings settings_;
};

}  // namespace

const TokenizerSettings::Named* TokenizerSettings::find(std::string_view key) const {
  const auto it = std::ranges::find(named, key, &Named::key);
  return it == named.end() ? nullptr : &*it;
}

void TokenizerSettings::offer(std::string_view key, const std::string& content) {
  if (given.contains(key) || find(key)) return;
  const auto rank = [](std::string_view name) { return std::ranges::find(kNames, name) - kNames.begin(); };
  const auto behind = std::ranges::find_if(named, [&](const Named& other) { return rank(other.key) > rank(key); });
  named.insert(behind, {std::string(key), AddedToken::plain(content, true), true});
}

TokenizerSettings read_tokenizer_settings(const fs::path& folder, const json& tokenizer_json,
                                          std::optional<json> config) {
  return SettingsReader(folder, tokenizer_json).run(std::move(config));
}

TokenizerClassHints tokenizer_class_hints(const fs::path& folder) {
  return class_hints(read_object(folder / "tokenizer_config.json"), {}, read_object(folder / "config.json"));
}

}  // namespace qcqa
