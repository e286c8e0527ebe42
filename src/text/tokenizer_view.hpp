#pragma once

#include <filesystem>
#include <string_view>

#include "checkpoint/json_view.hpp"
#include "support/advice.hpp"

namespace qcqa {

/// The fix that every refusal of a tokenizer suggests.
inline constexpr std::string_view kUseTokenIds =
    "For `qcqa evaluate`, tokenize with another tool and pass the ids with --token-ids FILE.";

/// The root of a tokenizer's file.
[[nodiscard]] inline JsonView tokenizer_view(const nlohmann::json& document, const std::filesystem::path& file) {
  return {document, file.string(), kFetchAgain};
}

/// @param what  the thing that qcqa does not implement, e.g. `normalizer "Precompiled"`
[[noreturn]] void unsupported(const JsonView& place, std::string_view what);

}  // namespace qcqa
