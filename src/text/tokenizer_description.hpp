#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "text/json/added_tokens.hpp"
#include "text/json/word_model.hpp"
#include "text/sentencepiece/sentencepiece_model.hpp"
#include "text/tokenizer_class.hpp"

namespace qcqa {

/// The one tokenizer of a folder (or of a GGUF file, made into the files of a folder), as AutoTokenizer of
/// transformers 5.24 makes it, whatever files it is made of: what evaluation, sampling, calibration and GGUF know of
/// text is here.
struct TokenizerDescription {
  std::filesystem::path source;  ///< the file with the vocabulary
  /// normalizer, pre_tokenizer, decoder and model, as a tokenizer.json spells them.
  nlohmann::json document;
  std::shared_ptr<const WordModel> words;  ///< the model
  std::vector<AddedToken> added;           ///< in the order of adding
  std::vector<TokenId> before, after;      ///< what is put around a text
  bool split_special = false;              ///< special tokens in a text are text

  struct Named {
    TokenId id = 0;
    bool from_class = false;  ///< no file names it
  };
  std::map<std::string, Named, std::less<>> named;  ///< bos_token, eos_token, unk_token, ...

  nlohmann::json config;                     ///< tokenizer_config.json
  TokenizerClassHints class_hints;           ///< what chose the class that reads the files
  std::optional<SentencePieceModel> pieces;  ///< of a tokenizer.model, where that is the source or stands beside it
  bool trusts_looks = false;                 ///< some file flags tokens: what looks special is so (llama.cpp's rule)
  std::vector<std::string> notes;            ///< what a user should know, a line each

  [[nodiscard]] std::optional<TokenId> id_of(std::string_view key) const;
};

/// Whether a folder has a file that only a tokenizer has, or a GGUF file a vocabulary.
[[nodiscard]] bool has_tokenizer(const std::filesystem::path& folder);

/// Reads all files. described_tokenizer() (text/tokenizer_cache.hpp) does so once.
/// @throws Error(not_found) without a tokenizer, Error(corrupt), Error(unsupported)
[[nodiscard]] TokenizerDescription describe_tokenizer(const std::filesystem::path& folder);

/// What describe_tokenizer() looks at, whether it is there or not.
[[nodiscard]] std::vector<std::filesystem::path> tokenizer_files(const std::filesystem::path& model);

}  // namespace qcqa
