#include "search/solution_state.hpp"

#include <array>
#include <cmath>
#include <cstdint>

#include <nlohmann/json.hpp>

#include "search/state_reader.hpp"

namespace qcqa {
namespace {

constexpr std::array<std::string_view, 3> kSources = {"local", "matching", "exact"};

}  // namespace

nlohmann::json save_solution(const LayerSolution& solution) {
  nlohmann::json found = nlohmann::json::array(), sources = nlohmann::json::array(), bounds = nlohmann::json::array();
  for (const auto& entry : solution.found) {
    found.push_back(std::vector<std::uint8_t>(entry.grouping.labels().begin(), entry.grouping.labels().end()));
    sources.push_back(entry.source);
  }
  for (const auto& bound : solution.bounds) {
    bounds.push_back(
        {{"equal", bound.cardinality == Cardinality::equal}, {"groups", bound.groups}, {"bound", bound.lower_bound}});
  }
  return {{"evaluations", solution.evaluations},
          {"found", std::move(found)},
          {"sources", std::move(sources)},
          {"bounds", std::move(bounds)}};
}

LayerSolution restore_solution(const nlohmann::json& saved, const std::string& where, int heads) {
  const StateReader state(saved, where);
  LayerSolution solution;
  solution.complete = true;
  solution.evaluations = state.integer("evaluations", 0, std::int64_t{1} << 62);
  const auto rows = state.byte_rows("found", 2 * static_cast<std::size_t>(heads));
  const auto& sources = state.array("sources", rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].size() != static_cast<std::size_t>(heads)) state.fail("found", "must hold one label per head");
    std::string_view source;
    for (const auto known : kSources) {
      if (sources[i] == known) source = known;
    }
    if (source.empty()) state.fail("sources", "must hold known sources");
    solution.found.push_back({Grouping::from_labels(std::vector<int>(rows[i].begin(), rows[i].end())), source});
  }
  const auto& bounds = state.field("bounds");
  if (!bounds.is_array() || bounds.size() > 2 * static_cast<std::size_t>(heads)) {
    state.fail("bounds", "must be an array of at most two per group count");
  }
  for (const auto& entry : bounds) {
    const StateReader bound(entry, where + ".bounds");
    const auto& value = bound.field("bound");
    const auto& equal = bound.field("equal");
    if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() < 0) {
      bound.fail("bound", "must be a number >= 0");
    }
    if (!equal.is_boolean()) bound.fail("equal", "must be true or false");
    solution.bounds.push_back({equal.get<bool>() ? Cardinality::equal : Cardinality::arbitrary,
                               static_cast<int>(bound.integer("groups", 1, heads)), value.get<double>()});
  }
  return solution;
}

}  // namespace qcqa
