#include "cli/search_text.hpp"

#include <fmt/format.h>

#include "qcqa/report/sections.hpp"
#include "qcqa/support/human_bytes.hpp"
#include "qcqa/support/version.hpp"

namespace qcqa::cli {

std::string preamble(const Model& model, const char* verb) {
  const AttentionLayer& layer = model.layers().front();
  return fmt::format("qcqa {} {}: {}, {}, {} layers x {} KV heads of {}, {}, KV cache {} per token", version(), verb,
                     model.path().string(), model.architecture().family, model.layers().size(), layer.kv_heads,
                     layer.head_dim, dtype_name(layer.dtype), human_bytes(model.kv_bytes_per_token()));
}

std::string search_summary(const Report& report) {
  Table table{.columns = {{"KV cache", true}, {"per token"}, {"contiguous (GQA)"}, {"equal groups"}, {"any groups"}}};
  const int heads = report.model.kv_heads * report.model.layers;
  const auto least = [](const std::vector<ModelPoint>& points, int limit) {
    double best = -1;
    for (const ModelPoint& point : points) {
      if (point.kv_heads <= limit && (best < 0 || point.cost < best)) best = point.cost;
    }
    return best < 0 ? std::string("-") : fmt::format("{:.5g}", best);
  };
  for (const Baseline& baseline : report.baselines) {
    if (baseline.name == "mha" || baseline.name == "kdgqa") continue;
    const int limit = baseline.groups * report.model.layers;
    table.rows.push_back({fmt::format("{:.1f} %", 100 * baseline.kv_fraction),
                          human_bytes(limit * report.model.kv_bytes_per_head()), fmt::format("{:.5g}", baseline.cost),
                          least(report.search.uniform, limit), least(report.search.front, limit)});
  }
  return fmt::format("Cost ({}) of the best plan found ({} KV heads before)\n{}", report.fitness_name, heads,
                     text_of(table));
}

}  // namespace qcqa::cli
