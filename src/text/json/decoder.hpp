#pragma once

#include <functional>
#include <string>
#include <vector>

#include "text/tokenizer_view.hpp"

namespace qcqa {

/// A decoder of a tokenizer.json: the spellings of tokens -> pieces of text, to be joined.
using Decoder = std::function<std::vector<std::string>(std::vector<std::string>)>;

/// @throws Error(unsupported) naming the component, Error(corrupt)
[[nodiscard]] Decoder make_decoder(const JsonView& description);

}  // namespace qcqa
