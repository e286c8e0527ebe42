#pragma once

#include <functional>

#include "text/json/pieces.hpp"
#include "text/tokenizer_view.hpp"

namespace qcqa {

/// A pre-tokenizer of a tokenizer.json: cuts pieces of text into words, and may respell them.
using PreTokenizer = std::function<void(Pieces&)>;

/// @throws Error(unsupported) naming the component, Error(corrupt)
[[nodiscard]] PreTokenizer make_pre_tokenizer(const JsonView& description);

}  // namespace qcqa
