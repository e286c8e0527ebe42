#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qcqa {

using TokenId = std::int32_t;

/// The ids with a meaning of their own.
///
/// The BOS rule: a text begins with `bos` exactly where the model's own tokenizer puts it, `adds_bos`. That is what
/// add_bos_token of tokenizer_config.json says, or else whether the tokenizer itself begins texts so: a tokenizer.json
/// by the post-processor's template, a tokenizer.model whenever it has a BOS piece. BosRule overrides it; token ids
/// from a file are taken as they are; and BOS is never a target, since nothing stands before it.
struct SpecialTokens {
  std::optional<TokenId> bos;  ///< begin of a text
  std::vector<TokenId> eos;    ///< each of them ends a text; sorted, may be empty
  bool adds_bos = false;       ///< see the BOS rule above
};

class TextModel;

/// The tokenizer of a model folder. Ids equal those of the Python package that the file belongs to: `tokenizers` for
/// tokenizer.json, `sentencepiece` for tokenizer.model. When a folder has both, tokenizer.json counts, because that is
/// what transformers reads. All members may be called from several threads at once.
class Tokenizer {
 public:
  /// @throws Error(not_found) without a tokenizer file, Error(corrupt) when it is damaged, Error(unsupported) naming
  ///   the component that qcqa does not implement
  [[nodiscard]] static Tokenizer open(const std::filesystem::path& model_folder);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// The ids of `text`, which is UTF-8; no special token is put around them. Special tokens that are written out in the
  /// text are recognised by a tokenizer.json and are ordinary text to a tokenizer.model, as in the packages.
  /// @throws Error(invalid_argument) when `text` is not UTF-8
  [[nodiscard]] std::vector<TokenId> encode(std::string_view text) const;

  /// The text of `ids`, without special tokens. Bytes that are not UTF-8 become U+FFFD.
  /// @throws Error(invalid_argument) for an id outside [0, vocabulary_size())
  [[nodiscard]] std::string decode(std::span<const TokenId> ids) const;

  /// One more than the largest id. A model's embedding may have more rows than that.
  [[nodiscard]] std::size_t vocabulary_size() const;
  [[nodiscard]] const SpecialTokens& special() const noexcept { return special_; }
  /// The file it was read from.
  [[nodiscard]] const std::filesystem::path& source() const noexcept { return source_; }

 private:
  Tokenizer(std::filesystem::path source, std::unique_ptr<const TextModel> model, SpecialTokens special);

  std::filesystem::path source_;
  std::unique_ptr<const TextModel> model_;
  SpecialTokens special_;
};

}  // namespace qcqa
