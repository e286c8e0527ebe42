#include "search/solution_state.hpp"

#include <array>
#include <cstdint>

#include <nlohmann/json.hpp>

#include "search/saved_json.hpp"

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

LayerSolution restore_solution(const JsonView& saved, int heads) {
  const std::size_t most = 2 * static_cast<std::size_t>(heads);
  LayerSolution solution;
  solution.complete = true;
  solution.evaluations = saved.at("evaluations").integer(0, std::int64_t{1} << 62);
  const JsonView found = saved.at("found");
  const auto rows = read_byte_rows(found, most);
  const auto sources = saved.at("sources").items(rows.size(), "grouping");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].size() != static_cast<std::size_t>(heads)) found.corrupt("must hold one label per head");
    std::string_view source;
    for (const auto known : kSources) {
      if (sources[i].text() == known) source = known;
    }
    if (source.empty()) sources[i].corrupt("must be a known source");
    solution.found.push_back({Grouping::from_labels(std::vector<int>(rows[i].begin(), rows[i].end())), source});
  }
  for (const JsonView& bound : read_items(saved.at("bounds"), most)) {
    const bool equal = bound.at("equal").flag();
    solution.bounds.push_back({equal ? Cardinality::equal : Cardinality::arbitrary,
                               static_cast<int>(bound.at("groups").integer(1, heads)), bound.at("bound").number(0)});
  }
  return solution;
}

}  // namespace qcqa
