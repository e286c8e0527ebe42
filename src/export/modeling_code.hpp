#pragma once

#include <string>
#include <string_view>

#include "export/layout.hpp"

// Folders that carry a modeling file, which transformers loads with trust_remote_code=True.

namespace qcqa {

/// The module's name: what auto_map of config.json names classes of.
inline constexpr const char* kModelingModule = "modeling_qcqa";

/// Throws Error(unsupported) unless the model is a causal language model by itself. @param instead  advice
void require_language_model(const Model& model, std::string_view layout, const std::string& instead);

/// Adds the module. @param code  see embedded_code.hpp; its places are filled in for the family
void add_modeling_file(Blueprint& blueprint, std::string_view code, const Architecture& architecture);

}  // namespace qcqa
