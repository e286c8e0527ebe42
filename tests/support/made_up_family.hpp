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

/// With a made-up family of which nothing is said but the attention blocks.
[[nodiscard]] const Families& with_family_not_run();

}  // namespace qcqa::testing
