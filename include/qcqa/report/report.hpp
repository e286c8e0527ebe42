#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "qcqa/evaluate/choices.hpp"
#include "qcqa/evaluate/evaluate.hpp"
#include "qcqa/merge/merge.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/plan/plan.hpp"
#include "qcqa/report/plan_comparison.hpp"
#include "qcqa/search/model_search.hpp"

namespace qcqa {

/// ReportModel::family of a report about a file of head distances: there is no model to convert.
inline constexpr std::string_view kDistancesFamily = "distances";

/// Report::timings of Report::evaluation.
inline constexpr const char* kEvaluateStage = "evaluate";

/// The model a report is about.
struct ReportModel {
  std::string path, fingerprint, family, dtype;
  int layers = 0;
  int query_heads = 0, kv_heads = 0;  ///< per layer
  int head_dim = 0, hidden_size = 0;
  std::int64_t kv_bytes_per_token = 0;

  /// Bytes of KV cache per token for one KV head of one layer.
  [[nodiscard]] std::int64_t kv_bytes_per_head() const noexcept {
    return kv_bytes_per_token / (std::int64_t{layers} * kv_heads);
  }
};
[[nodiscard]] ReportModel describe(const Model& model);

/// A plan that needs no search, for comparison.
struct Baseline {
  std::string name;  ///< "mha" (unchanged), "gqa" (contiguous groups), "mqa" (one group), "kdgqa" (sizes by key norms)
  int groups = 0;    ///< per layer
  double kv_fraction = 0;
  double cost = 0;
};

/// Everything one run of the search found out, as one JSON document. The schema is report_schema().
struct Report {
  std::string tool_version, tool_commit;
  ReportModel model;
  nlohmann::ordered_json options = nlohmann::ordered_json::object();  ///< every option that changes the result
  std::string fitness_name = "wse", fitness_unit = "sum of squared errors of the weights";
  std::map<std::string, double> timings;  ///< seconds
  SearchResult search;
  std::vector<Baseline> baselines;
  double hypervolume = 0;  ///< area between the front and the reference point, (KV fraction) x (cost / reference cost)
  double hypervolume_reference_cost = 0;          ///< cost of one group per layer (MQA)
  std::optional<Plan> plan;                       ///< what a conversion did
  std::optional<PlanComparison> plan_comparison;  ///< where two plans were measured to choose it
  std::optional<MergeSummary> merge;              ///< how a conversion merged heads
  std::optional<Evaluation> evaluation;           ///< of the converted model, beside the one it was made from
};

/// Fills in what follows from the search: baselines and hypervolume.
void derive_comparisons(Report& report);

[[nodiscard]] nlohmann::ordered_json to_json(const Report& report);
[[nodiscard]] nlohmann::ordered_json to_json(const Evaluation& evaluation);
[[nodiscard]] nlohmann::ordered_json to_json(const ChoiceEvaluation& choices);

/// Checks every field against the schema's rules. @throws Error(corrupt) with `where`, the JSON path and the rule
[[nodiscard]] Report report_from_json(const nlohmann::json& document, std::string_view where);
[[nodiscard]] Report read_report(const std::filesystem::path& file);

/// Throws Error(invalid_argument) unless the report is about this checkpoint.
void require_same_model(const Report& report, const Model& model, std::string_view where);

/// The JSON Schema (draft 2020-12) of the document.
[[nodiscard]] std::string_view report_schema();

}  // namespace qcqa
