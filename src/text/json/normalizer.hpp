#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "text/tokenizer_view.hpp"

namespace qcqa {

/// A normalizer of a tokenizer.json: text -> text.
using Normalizer = std::function<std::string(std::string_view)>;

/// @throws Error(unsupported) naming the component, Error(corrupt)
[[nodiscard]] Normalizer make_normalizer(const JsonView& description);

/// A `pattern` and `content` of a Replace step, which normalizers and decoders share.
[[nodiscard]] Normalizer make_replacement(const JsonView& description);

}  // namespace qcqa
