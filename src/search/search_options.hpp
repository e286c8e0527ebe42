#pragma once

#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "qcqa/search/model_search.hpp"

namespace qcqa {

/// @throws Error(invalid_argument) naming the option that makes no sense
void require_valid(const SearchOptions& options, const std::vector<const GroupCost*>& costs);

/// Every option that changes the result (so not `threads`).
[[nodiscard]] nlohmann::json options_to_json(const SearchOptions& options);

}  // namespace qcqa
