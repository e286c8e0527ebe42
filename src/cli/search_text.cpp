#include "cli/search_text.hpp"

#include "qcqa/report/tables.hpp"
#include "qcqa/support/version.hpp"
#include "report/text_table.hpp"

namespace qcqa::cli {

std::string preamble(const Model& model, const char* verb) {
  const AttentionLayer& layer = model.layers().front();
  return "qcqa " + std::string(version()) + " " + verb + ": " + model.path().string() + ", " +
         model.architecture().family + ", " + std::to_string(model.layers().size()) + " layers x " +
         std::to_string(layer.kv_heads) + " KV heads of " + std::to_string(layer.head_dim) + ", " +
         std::string(dtype_name(layer.dtype)) + ", KV cache " +
         human_bytes(static_cast<double>(model.kv_bytes_per_token())) + " per token";
}

std::string search_summary(const Report& report) {
  TextTable table({"KV cache", "per token", "contiguous (GQA)", "equal groups", "any groups"});
  const int heads = report.model.kv_heads * report.model.layers;
  const auto least = [](const std::vector<ModelPoint>& points, int limit) {
    double best = -1;
    for (const ModelPoint& point : points) {
      if (point.kv_heads <= limit && (best < 0 || point.cost < best)) best = point.cost;
    }
    return best < 0 ? std::string("-") : format_number("%.5g", best);
  };
  for (const Baseline& baseline : report.baselines) {
    if (baseline.name == "mha" || baseline.name == "kdgqa") continue;
    const int limit = baseline.groups * report.model.layers;
    table.add({format_number("%.1f %%", 100 * baseline.kv_fraction),
               human_bytes(static_cast<double>(limit * report.model.kv_bytes_per_head())),
               format_number("%.5g", baseline.cost), least(report.search.uniform, limit),
               least(report.search.front, limit)});
  }
  return "Cost (" + report.fitness_name + ") of the best plan found (" + std::to_string(heads) + " KV heads before)\n" +
         table.str();
}

}  // namespace qcqa::cli
