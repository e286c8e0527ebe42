#pragma once

#include <filesystem>

#include "qcqa/model/architecture.hpp"

namespace qcqa {

/// Refuses a config.json whose model_type no family has where it says by itself why: a kind of attention that no
/// description covers, or a composite that is not known although its text model is.
/// @throws Error(unsupported)
void refuse_unknown_kind(const nlohmann::json& config, const std::filesystem::path& config_file,
                         const Families& families);

/// The same for any such config.json, whatever it says.
/// @throws Error(unsupported) always
[[noreturn]] void refuse_unknown_type(const nlohmann::json& config, const std::filesystem::path& config_file,
                                      const Families& families);

/// All names that a model_type may have.
[[nodiscard]] std::string supported_types(const Families& families);

}  // namespace qcqa
