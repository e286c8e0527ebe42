#pragma once

#include <filesystem>
#include <memory>

#include "text/tokenizer_description.hpp"

namespace qcqa {

/// describe_tokenizer() of the last model that was asked for, as long as none of its files changes. A run asks for its
/// tokenizer from a dozen places, for texts, for samples, for what an output can hold, and none of them knows of the
/// others; reading a large one takes a second and more. May be called from several threads at once.
[[nodiscard]] std::shared_ptr<const TokenizerDescription> described_tokenizer(const std::filesystem::path& model);

}  // namespace qcqa
