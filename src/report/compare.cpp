#include <cmath>
#include <functional>
#include <map>

#include "qcqa/report/tables.hpp"
#include "report/text_table.hpp"

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

std::string compare_points(const std::vector<ModelPoint>& a, const Report& report_a, const std::vector<ModelPoint>& b,
                           const Report& report_b) {
  TextTable table({"KV cache", "A, of MQA", "B, of MQA", "B / A"});
  const auto costs_b = costs(b, report_b);
  for (const auto& [size, cost] : costs(a, report_a)) {
    const auto other = costs_b.find(size);
    if (other == costs_b.end()) continue;
    table.add({format_number("%.1f %%", size / 10.0), format_number("%.4f", cost), format_number("%.4f", other->second),
               cost > 0 ? format_number("%.4f", other->second / cost) : "-"});
  }
  return table.str();
}

}  // namespace

std::string compare_tables(const Report& a, std::string_view name_a, const Report& b, std::string_view name_b) {
  std::string text = "A: " + std::string(name_a) + " (" + a.model.path + ", " + a.fitness_name + ")\n";
  text += "B: " + std::string(name_b) + " (" + b.model.path + ", " + b.fitness_name + ")\n";
  if (a.model.fingerprint != b.model.fingerprint) text += "These are reports about different models.\n";
  if (a.fitness_name != b.fitness_name) text += "Their costs are of different kinds: compare shapes, not values.\n";
  text +=
      "\nFront, cost as a share of one group per layer (MQA)\n" + compare_points(a.search.front, a, b.search.front, b);
  text += "\nUniform plans\n" + compare_points(a.search.uniform, a, b.search.uniform, b);
  text +=
      "\nhypervolume A " + format_number("%.6f", a.hypervolume) + ", B " + format_number("%.6f", b.hypervolume) + "\n";
  return text;
}

}  // namespace qcqa
