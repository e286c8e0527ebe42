#include "qcqa/report/sections.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "qcqa/support/error.hpp"
#include "qcqa/support/human_bytes.hpp"
#include "support/nearest.hpp"

namespace qcqa {
namespace {

std::string number(double value) { return fmt::format("{:.5g}", value); }
std::string percent(double fraction) { return fmt::format("{:.1f} %", 100 * fraction); }

/// A cost as a share of MQA's.
std::string share(double cost, double reference) { return reference > 0 ? percent(cost / reference) : "-"; }

double all_heads(const ReportModel& model) { return static_cast<double>(model.layers) * model.kv_heads; }

std::string list_groups(const ModelPoint& point) {
  std::vector<int> counts;
  for (const Grouping& grouping : point.layers) counts.push_back(grouping.groups());
  if (std::ranges::count(counts, counts.front()) == std::ssize(counts)) return fmt::format("{} each", counts.front());
  static constexpr std::size_t kWidest = 60;
  const std::string text = fmt::format("{}", fmt::join(counts, " "));
  return text.size() <= kWidest ? text : text.substr(0, kWidest - 3) + "...";
}

Section model_section(const Report& report) {
  const ReportModel& model = report.model;
  return {.title = model.path,
          .lines = {fmt::format("{}, {} layers, {} query and {} KV heads of {} in each, {}", model.family, model.layers,
                                model.query_heads, model.kv_heads, model.head_dim, model.dtype),
                    fmt::format("KV cache {} per token, fingerprint {}", human_bytes(model.kv_bytes_per_token),
                                model.fingerprint),
                    fmt::format("fitness {} ({}), qcqa {} ({})", report.fitness_name, report.fitness_unit,
                                report.tool_version, report.tool_commit)}};
}

Table point_table() {
  return {.columns = {{"point", true},
                      {"KV heads"},
                      {"KV cache"},
                      {"per token"},
                      {"cost"},
                      {"of MQA"},
                      {"gap"},
                      {"  groups", true}}};
}

std::string gap_text(double cost, double lower_bound) {
  const double gap = bound_gap(cost, lower_bound);
  return gap == 0 ? "0" : lower_bound > 0 ? fmt::format("{:.2g} %", 100 * gap) : "-";
}

void add_point(Table& table, const std::string& name, const ModelPoint& point, const Report& report) {
  table.rows.push_back({name, std::to_string(point.kv_heads), percent(point.kv_heads / all_heads(report.model)),
                        human_bytes(point.kv_heads * report.model.kv_bytes_per_head()), number(point.cost),
                        share(point.cost, report.hypervolume_reference_cost), gap_text(point.cost, point.lower_bound),
                        "  " + list_groups(point)});
}

std::string front_kind(const Report& report) {
  if (report.options.value("uniform", false)) return "equal groups, one group count for all layers (--layout gqa)";
  const auto& front = report.search.front;
  const bool any = front.empty() || front.front().cardinality == Cardinality::arbitrary;
  return fmt::format("{} groups (--layout expanded)", any ? "any" : cardinality_name(front.front().cardinality));
}

Section front_section(const Report& report) {
  Section section{.title = "Front: best plan at each KV size, " + front_kind(report), .table = point_table()};
  const auto& front = report.search.front;
  // A big model has a thousand points; show about thirty, evenly, and say so.
  static constexpr std::size_t kShown = 32;
  const std::size_t step = std::max<std::size_t>(1, (front.size() + kShown - 1) / kShown);
  for (std::size_t i = 0; i < front.size(); ++i) {
    if (i % step == 0 || i + 1 == front.size()) add_point(section.table, std::to_string(i), front[i], report);
  }
  if (step > 1) {
    section.notes.push_back(fmt::format("(every {}th of {} points; all are in the JSON)", step, front.size()));
  }
  section.notes.push_back(
      fmt::format("hypervolume {} of at most 1, against all heads at the cost of MQA", number(report.hypervolume)));
  return section;
}

Section uniform_section(const Report& report) {
  Section section{.title = "Uniform plans: equal groups, one group count for all layers (--layout gqa)",
                  .table = point_table()};
  for (const ModelPoint& point : report.search.uniform) add_point(section.table, "-", point, report);
  return section;
}

Section baseline_section(const Report& report) {
  Section section{
      .title =
          "Baselines: contiguous groups, as mean-pooling GQA makes them (kdgqa: of sizes that follow the key norms)",
      .table = {.columns = {{"baseline", true}, {"groups"}, {"KV cache"}, {"cost"}, {"of MQA"}}}};
  for (const Baseline& baseline : report.baselines) {
    section.table.rows.push_back({baseline.name, std::to_string(baseline.groups), percent(baseline.kv_fraction),
                                  number(baseline.cost), share(baseline.cost, report.hypervolume_reference_cost)});
  }
  return section;
}

Section layers_section(const Report& report) {
  struct Class {
    Cardinality cardinality;
    const char* name;
  };
  static constexpr std::array kClasses = {Class{Cardinality::arbitrary, "any"}, Class{Cardinality::equal, "equal"},
                                          Class{Cardinality::contiguous, "contig."}};
  Section section{
      .title = "Layers: cost of the best grouping as a share of the layer's MQA cost, by kind and number of groups",
      .table = {.columns = {{"layer", true}, {"MQA cost"}}}};
  std::vector<int> counts;
  for (int groups = report.model.kv_heads / 2; groups >= 1; groups /= 2) counts.push_back(groups);
  for (const int groups : counts) {
    for (const Class& kind : kClasses) section.table.columns.push_back({fmt::format("{} {}", kind.name, groups)});
  }
  for (const LayerFront& layer : report.search.layers) {
    std::vector<std::string> row{std::to_string(layer.layer), number(layer.one_group_cost)};
    for (const int groups : counts) {
      for (const Class& kind : kClasses) {
        const LayerGrouping* entry = layer.find(kind.cardinality, groups);
        const bool known = entry != nullptr && layer.one_group_cost > 0;
        row.push_back(known ? fmt::format("{:.3f}", entry->cost / layer.one_group_cost) : "-");
      }
    }
    section.table.rows.push_back(std::move(row));
  }
  return section;
}

// Per kind: how many groupings are proven, and the widest gap of the others.
Section bounds_section(const Report& report) {
  Section section{.title = "Bounds: how far below the groupings found the best of the layer can lie, at most",
                  .table = {.columns = {{"kind", true}, {"groupings"}, {"proven"}, {"widest gap"}}}};
  for (const Cardinality cardinality : {Cardinality::arbitrary, Cardinality::equal}) {
    int groupings = 0, proven = 0;
    const LayerGrouping* widest = nullptr;
    const auto gap = [](const LayerGrouping& entry) { return bound_gap(entry.cost, entry.lower_bound); };
    for (const LayerFront& layer : report.search.layers) {
      for (const LayerGrouping& entry : layer.groupings) {
        if (entry.cardinality != cardinality) continue;
        ++groupings;
        proven += entry.proven ? 1 : 0;
        if (widest == nullptr || gap(entry) > gap(*widest)) widest = &entry;
      }
    }
    if (widest == nullptr) continue;
    section.table.rows.push_back({std::string(cardinality_name(cardinality)), std::to_string(groupings),
                                  std::to_string(proven), gap_text(widest->cost, widest->lower_bound)});
  }
  return section;
}

Section plan_section(const Report& report) {
  if (!report.plan) return {.title = "Plan: none (this report is of a search, not of a conversion)"};
  Section section{.title = fmt::format("Plan: {}, cost {}", report.plan->origin, number(report.plan->cost)),
                  .table = {.columns = {{"layer", true}, {"groups"}, {"  group of each KV head", true}}}};
  if (report.plan_comparison) section.lines.push_back(text_of(*report.plan_comparison));
  for (std::size_t i = 0; i < report.plan->layers.size(); ++i) {
    const Grouping& grouping = report.plan->layers[i].grouping;
    section.table.rows.push_back(
        {std::to_string(i), std::to_string(grouping.groups()), fmt::format("  {}", fmt::join(grouping.labels(), " "))});
  }
  return section;
}

Section merge_section(const Report& report) {
  if (!report.merge) return {.title = "Merge", .lines = {"none: `qcqa run` and `qcqa convert` make one"}};
  const MergeSummary& merge = *report.merge;
  const std::string fitted_to =
      merge.calibration_tokens > 0 ? fmt::format(", {} calibration tokens", merge.calibration_tokens) : "";
  Section section{.title = fmt::format("Merge: {}{}, {:.1f} s", merge_kind_name(merge.kind), fitted_to, merge.seconds)};
  if (merge.keys_pooled) section.lines.push_back("keys are normalised in this family: pooled by direction");
  if (const auto& distillation = merge.distillation) {
    section.lines.push_back(fmt::format("distilled: divergence of the predictions {:.4f} -> {:.4f} nats, {} steps",
                                        distillation->before, distillation->after, distillation->steps));
  } else if (merge_method(merge.kind).takes_steps) {
    section.lines.emplace_back("not distilled: --distill-steps 0, or the layers need more than --memory");
  }
  if (!merge.ladder.rungs.empty()) {
    std::string rungs;
    for (const ComparedMerge& rung : merge.ladder.merges()) {
      rungs += fmt::format("{} {} {:+.4f}", rungs.empty() ? "" : ",", rung.name, merge.ladder.nats_above(rung));
    }
    section.lines.push_back(fmt::format("nats above the original's {:.4f} on {} tokens:{}",
                                        std::log(merge.ladder.rungs.front().perplexity), merge.ladder.tokens, rungs));
  }
  if (merge.layers.empty()) return section;
  section.lines.emplace_back("error of each layer's output, as a share of its square:");
  section.table.columns = {{"layer"}, {"heads merged"}, {"refitted"},           {"in the end"},
                           {"steps"}, {"of sinks"},     {"attention to sinks"}, {"before"}};
  for (const MergedLayer& layer : merge.layers) {
    section.table.rows.push_back({std::to_string(layer.layer), fmt::format("{:.4f}", layer.subspace_error),
                                  fmt::format("{:.4f}", layer.refit_error), fmt::format("{:.4f}", layer.error),
                                  std::to_string(layer.steps), fmt::format("{:.2g}", layer.sink_error),
                                  fmt::format("{:.3f}", layer.sink_mass),
                                  fmt::format("{:.3f}", layer.sink_mass_before)});
  }
  return section;
}

Section evaluation_section(const Report& report) {
  if (!report.evaluation) {
    return {.title = "Evaluation", .lines = {"none: `qcqa run --text FILE` makes one"}};
  }
  const Evaluation& evaluation = *report.evaluation;
  const auto nats = [](double value) { return fmt::format("{:.4f}", value); };
  const auto perplexity = [](double value) { return fmt::format("{:.4g}", value); };
  const auto& reference = evaluation.reference;
  Section section{
      .title = fmt::format("Evaluation on {} tokens of {} document(s)", evaluation.tokens, evaluation.documents),
      .table = {
          .columns = {
              {"model", true}, {"perplexity"}, {"cross-entropy"}, {"KL mean"}, {"KL p99"}, {"same likeliest token"}}}};
  auto& rows = section.table.rows;
  rows.push_back({"converted", perplexity(evaluation.perplexity),
                  fmt::format("{:.4f} +/- {:.4f}", evaluation.cross_entropy, evaluation.standard_error),
                  reference ? nats(reference->kl_mean) : "-", reference ? nats(reference->kl_p99) : "-",
                  reference ? fmt::format("{:.2f} %", 100 * reference->top1_agreement) : "-"});
  if (reference) {
    rows.push_back({"original", perplexity(reference->perplexity), nats(reference->cross_entropy), "-", "-", "-"});
    rows.push_back({"difference", fmt::format("{:+.2f} %", 100 * evaluation.perplexity_increase()),
                    fmt::format("{:+.4f} +/- {:.4f}", reference->difference, reference->difference_error), "-", "-",
                    "-"});
  }
  return section;
}

Section timings_section(const Report& report) {
  Section section{.title = "Timings", .table = {.columns = {{"step", true}, {"seconds"}}}};
  for (const auto& [name, seconds] : report.timings) {
    section.table.rows.push_back({name, fmt::format("{:.3f}", seconds)});
  }
  return section;
}

struct SectionRow {
  std::string_view name;
  Section (*make)(const Report&);
  bool (*is_there)(const Report&);
};

constexpr auto kAlways = [](const Report&) { return true; };
constexpr std::array kSections = {
    SectionRow{"model", model_section, kAlways},
    SectionRow{"front", front_section, kAlways},
    SectionRow{"uniform", uniform_section, kAlways},
    SectionRow{"baselines", baseline_section, kAlways},
    SectionRow{"layers", layers_section, kAlways},
    SectionRow{"bounds", bounds_section, kAlways},
    SectionRow{"plan", plan_section, [](const Report& report) { return report.plan.has_value(); }},
    SectionRow{"merge", merge_section, [](const Report& report) { return report.merge.has_value(); }},
    SectionRow{"evaluation", evaluation_section, [](const Report& report) { return report.evaluation.has_value(); }},
    SectionRow{"timings", timings_section, kAlways},
};

}  // namespace

std::vector<std::string_view> section_names() {
  std::vector<std::string_view> names;
  for (const SectionRow& row : kSections) names.push_back(row.name);
  return names;
}

std::vector<Section> report_sections(const Report& report, const std::vector<std::string>& names) {
  const auto known = section_names();
  for (const std::string& name : names) {
    if (std::ranges::find(known, name) != known.end()) continue;
    throw Error(ErrorKind::invalid_argument, "--select",
                fmt::format("a report has the sections {}", fmt::join(known, ", ")), name, did_you_mean(name, known));
  }
  std::vector<Section> sections;
  for (const SectionRow& row : kSections) {
    if (names.empty() ? !row.is_there(report) : std::ranges::find(names, row.name) == names.end()) continue;
    sections.push_back(row.make(report));
    sections.back().name = row.name;
  }
  return sections;
}

}  // namespace qcqa
