#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qcqa/text/tokenizer.hpp"

namespace qcqa {

/// What a kind of tokenizer file can do; `Tokenizer` checks arguments and adds what other files of the folder say.
class TextModel {
 public:
  virtual ~TextModel() = default;

  /// @param text  valid UTF-8
  [[nodiscard]] virtual std::vector<TokenId> encode(std::string_view text) const = 0;
  /// @param ids  each in [0, size())
  [[nodiscard]] virtual std::string decode(std::span<const TokenId> ids) const = 0;
  [[nodiscard]] virtual std::size_t size() const = 0;
  [[nodiscard]] virtual std::optional<TokenId> find(std::string_view token) const = 0;

  /// The first and last special token that the file itself puts around a text.
  [[nodiscard]] virtual std::optional<TokenId> leading_token() const = 0;
  [[nodiscard]] virtual std::optional<TokenId> bos() const = 0;
  [[nodiscard]] virtual std::optional<TokenId> eos() const = 0;
};

}  // namespace qcqa
