#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <map>

#include "qcqa/report/sections.hpp"

namespace qcqa {
namespace {

/// Cost of the best plan at each KV fraction (in 1/1000, so that models of different size line up).
std::map<int, double, std::greater<>> costs(const std::vector<ModelPoint>& points, const Report& report) {
  std::map<int, double, std::greater<>> by_size;
  const double all_heads = static_cast<double>(report.model.layers) * report.model.kv_heads;
  for (const ModelPoint& point : points) {
    const double reference = report.hypervolume_reference_cost;
    by_size[static_cast<int>(std::lround(1000 * point.kv_heads / all_heads))] =
        reference > 0 ? point.cost / reference : 0;
  }
  return by_size;
}

Table compare_points(const std::vector<ModelPoint>& a, const Report& report_a, const std::vector<ModelPoint>& b,
                     const Report& report_b) {
  Table table{.columns = {{"KV cache", true}, {"A, of MQA"}, {"B, of MQA"}, {"B / A"}}};
  const auto costs_b = costs(b, report_b);
  for (const auto& [size, cost] : costs(a, report_a)) {
    const auto other = costs_b.find(size);
    if (other == costs_b.end()) continue;
    table.rows.push_back({fmt::format("{:.1f} %", size / 10.0), fmt::format("{:.4f}", cost),
                          fmt::format("{:.4f}", other->second),
                          cost > 0 ? fmt::format("{:.4f}", other->second / cost) : "-"});
  }
  return table;
}

}  // namespace

std::vector<Section> compare_sections(const Report& a, std::string_view name_a, const Report& b,
                                      std::string_view name_b) {
  Section reports{.name = "reports",
                  .title = "Reports",
                  .lines = {fmt::format("A: {} ({}, {})", name_a, a.model.path, a.fitness_name),
                            fmt::format("B: {} ({}, {})", name_b, b.model.path, b.fitness_name)}};
  if (a.model.fingerprint != b.model.fingerprint) reports.lines.push_back("These are reports about different models.");
  if (a.fitness_name != b.fitness_name) {
    reports.lines.push_back("Their costs are of different kinds: compare shapes, not values.");
  }
  return {
      std::move(reports),
      {.name = "front",
       .title = "Front, cost as a share of one group per layer (MQA)",
       .table = compare_points(a.search.front, a, b.search.front, b)},
      {.name = "uniform", .title = "Uniform plans", .table = compare_points(a.search.uniform, a, b.search.uniform, b)},
      {.name = "hypervolume", .title = fmt::format("hypervolume A {:.6f}, B {:.6f}", a.hypervolume, b.hypervolume)}};
}

}  // namespace qcqa
