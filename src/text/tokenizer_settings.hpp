#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "text/json/added_tokens.hpp"
#include "text/tokenizer_class.hpp"

namespace qcqa {

/// What the files beside a vocabulary say about it: tokenizer_config.json, special_tokens_map.json, added_tokens.json,
/// and of config.json the model's type. They are joined as AutoTokenizer of transformers 5.24 joins them: with an
/// `added_tokens_decoder` in tokenizer_config.json, special_tokens_map.json and added_tokens.json are not read at all.
struct TokenizerSettings {
  TokenizerClassHints hints;  ///< what chose the class
  TokenizerClass tokenizer_class;
  nlohmann::json config = nlohmann::json::object();  ///< tokenizer_config.json
  std::filesystem::path config_file;

  /// Special tokens by key (bos_token, ...), in the order in which they are added.
  struct Named {
    std::string key;
    AddedToken token;
    bool from_class = false;  ///< no file names it
  };
  std::vector<Named> named;
  std::vector<AddedToken> extra;             ///< more special tokens
  std::vector<AddedToken> added;             ///< sorted by the ids that files give them
  bool has_extra = false;                    ///< tokenizer_config.json has such a list
  std::set<std::string, std::less<>> given;  ///< keys that a file has, be it with null
  std::optional<bool> add_bos, add_eos;      ///< as they count: a tokenizer.json makes those of a file void
  bool add_prefix_space = false, legacy = false;
  bool split_special = false;  ///< special tokens in a text are text
  bool trusts_looks = false;   ///< some file flags tokens: what looks special is so (llama.cpp's rule)

  [[nodiscard]] const Named* find(std::string_view key) const;
  /// Names a special token that no file speaks of.
  void offer(std::string_view key, const std::string& content);
};

/// What a folder says of its tokenizer's class beside tokenizer.json. @throws Error(corrupt)
[[nodiscard]] TokenizerClassHints tokenizer_class_hints(const std::filesystem::path& folder);

/// @param tokenizer_json  its document, or null
/// @param config          tokenizer_config.json, where that is no file of the folder
/// @throws Error(corrupt)
[[nodiscard]] TokenizerSettings read_tokenizer_settings(const std::filesystem::path& folder,
                                                        const nlohmann::json& tokenizer_json,
                                                        std::optional<nlohmann::json> config = {});

}  // namespace qcqa
