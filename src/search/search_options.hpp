#pragma once

#include <span>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "qcqa/search/model_search.hpp"

namespace qcqa {

/// What can be said before costs are computed. @param heads  KV heads of each layer
/// @throws Error(invalid_argument) naming the option that makes no sense
void require_valid(const SearchOptions& options, std::span<const int> heads);
/// All. @throws the same
void require_valid(const SearchOptions& options, const std::vector<const GroupCost*>& costs);

/// Every option that changes the result (so not `threads`).
[[nodiscard]] nlohmann::json options_to_json(const SearchOptions& options);

}  // namespace qcqa
