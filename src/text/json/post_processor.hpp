#pragma once

#include "qcqa/text/tokenizer.hpp"
#include "text/json/added_tokens.hpp"
#include "text/tokenizer_view.hpp"

namespace qcqa {

/// What a post_processor of a tokenizer.json puts around one text.
/// @throws Error(corrupt), Error(unsupported) naming the component
[[nodiscard]] TextFrame read_post_processor(const JsonView& description, const AddedVocabulary& vocabulary);

}  // namespace qcqa
