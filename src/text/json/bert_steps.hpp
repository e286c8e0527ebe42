#pragma once

#include "text/json/normalizer.hpp"

namespace qcqa {

/// The normalizer `BertNormalizer`: clean text, Chinese characters as words, no accents, lower case, as flags say.
/// @throws Error(corrupt)
[[nodiscard]] Normalizer make_bert_normalizer(const JsonView& description);

/// The normalizer `Nmt`: no control characters, every kind of space is one.
[[nodiscard]] std::string normalize_nmt(std::string_view text);

}  // namespace qcqa
