#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qcqa/text/tokenizer.hpp"

namespace qcqa {

/// Text -> ids and back; `Tokenizer` checks arguments.
class TextModel {
 public:
  virtual ~TextModel() = default;

  /// @param text  valid UTF-8
  [[nodiscard]] virtual std::vector<TokenId> encode(std::string_view text) const = 0;
  /// @param ids  each in [0, size())
  [[nodiscard]] virtual std::string decode(std::span<const TokenId> ids) const = 0;
  [[nodiscard]] virtual std::size_t size() const = 0;
};

}  // namespace qcqa
