#pragma once

#include <string>
#include <string_view>

#include "model/object_reader.hpp"
#include "qcqa/model/architecture.hpp"

// The JSON of a description, part by part. Every part refuses keys that it does not know.

namespace qcqa {

/// @throws Error(corrupt) unless it is JSON
[[nodiscard]] nlohmann::json parse_description(std::string_view json_text, std::string_view where);

[[nodiscard]] Architecture parse_architecture(const nlohmann::json& document, const std::string& where);

/// Whether it describes a Composite.
[[nodiscard]] bool is_composite(const nlohmann::json& document);
[[nodiscard]] Composite parse_composite(const nlohmann::json& document, const std::string& where);

/// The "norm" part.
[[nodiscard]] NormDescription parse_norm(ObjectReader reader);
/// What the "attention" part says beside its projections. Who calls finishes the reader.
[[nodiscard]] AttentionDescription parse_attention(ObjectReader& reader);
/// The "forward" part.
[[nodiscard]] ForwardDescription parse_forward(ObjectReader reader);

}  // namespace qcqa
