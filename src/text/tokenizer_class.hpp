#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace qcqa {

/// How a class of transformers 5 makes a tokenizer from the files of a folder. Most follow tokenizer.json to the letter
/// (`plain`); the others take its vocabulary, merges and post-processor only, and bring the rest.
struct TokenizerClass {
  enum class Steps { plain, llama, code_llama, gemma, qwen2, qwen3_5, gpt2, nfc_gpt2, cohere };

  std::string_view name;
  Steps steps = Steps::plain;
  /// Special tokens that a folder need not name: key, text.
  std::vector<std::pair<std::string_view, std::string_view>> names{};
  bool reads_vocab_json = false;  ///< vocab.json with merges.txt
  bool follows_template = true;   ///< of a tokenizer.json; otherwise only add_bos_token and add_eos_token count
  bool roberta_template = false;  ///< always cls ... sep
  bool adds_bos = false;          ///< add_bos_token unless a file says otherwise, whatever tokenizer.json says
  bool special_by_name = false;   ///< all named tokens lose other flags
  bool is_known = true;           ///< its steps are those above
};

/// What decides about the class.
struct TokenizerClassHints {
  std::string model_type;                   ///< of config.json
  std::optional<std::string> declared;      ///< tokenizer_class of tokenizer_config.json
  std::optional<std::string> model_config;  ///< tokenizer_class of config.json
  bool has_code = false;                    ///< auto_map of tokenizer_config.json
  bool is_byte_level = false;               ///< tokenizer.json has a ByteLevel step
};

/// The class that AutoTokenizer of transformers 5.24 takes (without code of the folder's own). Its rules: the class
/// that a file names, unless the model's type has a class of its own and the named one is the plain class or is known
/// to be wrong for that type.
[[nodiscard]] const TokenizerClass& choose_tokenizer_class(const TokenizerClassHints& hints);

/// normalizer, pre_tokenizer, decoder and the options of the model, as a tokenizer.json spells them.
/// @param settings  tokenizer_config.json, for add_prefix_space, legacy and unk_token
struct TokenizerSteps {
  nlohmann::json normalizer, pre_tokenizer, decoder, model;
};
[[nodiscard]] TokenizerSteps steps_of(const TokenizerClass& tokenizer_class, bool add_prefix_space, bool legacy,
                                      const std::string& unknown);

}  // namespace qcqa
