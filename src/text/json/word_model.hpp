#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "qcqa/text/tokenizer.hpp"
#include "text/json/string_map.hpp"
#include "text/tokenizer_view.hpp"

namespace qcqa {

/// The `model` of a tokenizer.json: one word -> ids.
class WordModel {
 public:
  /// 60 times the largest vocabulary in use; bounds what a bad file costs.
  static constexpr TokenId kLargestId = 16'777'215;

  virtual ~WordModel() = default;

  /// Appends the ids of one word, which is valid UTF-8.
  virtual void encode(std::string_view word, std::vector<TokenId>& ids) const = 0;
  [[nodiscard]] virtual const StringMap<TokenId>& vocabulary() const = 0;
  /// Entries of the vocabulary, which may spell one token twice.
  [[nodiscard]] virtual std::size_t count() const { return vocabulary().size(); }
};

/// @throws Error(corrupt), Error(unsupported) naming the kind
[[nodiscard]] std::unique_ptr<const WordModel> make_word_model(const JsonView& description);

/// The object `vocab`, token -> id. @throws Error(corrupt)
[[nodiscard]] StringMap<TokenId> read_vocabulary(const JsonView& description);

/// "<0x0A>" for 10: how a vocabulary spells a byte.
[[nodiscard]] std::string byte_token(unsigned byte);

}  // namespace qcqa
