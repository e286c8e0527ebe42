#pragma once

#include <functional>
#include <string>

#include <nlohmann/json.hpp>

#include "qcqa/model/architecture.hpp"

namespace qcqa::testing {

/// The description of a family by the name of "made_up", Llama but for what `change` does to it.
[[nodiscard]] nlohmann::json made_up_description(const std::function<void(nlohmann::json&)>& change);

/// The built-in families and that one.
[[nodiscard]] Families with_made_up(const std::function<void(nlohmann::json&)>& change);

}  // namespace qcqa::testing
