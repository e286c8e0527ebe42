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

/// Special tokens around a text.
struct TextFrame {
  std::vector<TokenId> before, after;
};

/// The ids with a meaning of their own.
///
/// The BOS rule: a text begins and ends with the special tokens that the model's own tokenizer puts there, `frame`. For
/// a tokenizer.json that is what its post-processor's template says (and not add_bos_token of tokenizer_config.json,
/// which transformers drops then), else what add_bos_token and add_eos_token say. BosRule overrides what a text begins
/// with; token ids from a file are taken as they are; and BOS is never a target, since nothing stands before it.
struct SpecialTokens {
  std::optional<TokenId> bos;  ///< begin of a text
  std::vector<TokenId> eos;    ///< each of them ends a text; sorted, may be empty
  TextFrame frame{};           ///< see the BOS rule above
};

/// Whose ids a tokenizer.model gives.
enum class TokenizerKind {
  transformers,   ///< as for every other kind of file
  sentencepiece,  ///< the library that wrote it: other runs of spaces, and special tokens in a text are text
};

class TextModel;

/// The tokenizer of a model folder. Ids equal those of transformers' AutoTokenizer: tokenizer.json, a tokenizer.model,
/// or vocab.json with merges.txt, with the special and added tokens that the files beside them name. All members may be
/// called from several threads at once.
class Tokenizer {
 public:
  /// @throws Error(not_found) without a tokenizer file, Error(corrupt) when it is damaged, Error(unsupported) naming
  ///   the component that qcqa does not implement
  [[nodiscard]] static Tokenizer open(const std::filesystem::path& model_folder,
                                      TokenizerKind kind = TokenizerKind::transformers);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// The ids of `text`, which is UTF-8; no special token is put around them. Special tokens that are written out in the
  /// text are recognised.
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
  /// What a user should know about how the files were read, a line each.
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }

 private:
  Tokenizer(std::filesystem::path source, std::unique_ptr<const TextModel> model);

  std::filesystem::path source_;
  std::unique_ptr<const TextModel> model_;
  SpecialTokens special_;
  std::vector<std::string> notes_;
};

}  // namespace qcqa
