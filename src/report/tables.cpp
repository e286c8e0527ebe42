#include "qcqa/report/tables.hpp"

#include <algorithm>
#include <array>

#include "qcqa/support/error.hpp"
#include "report/text_table.hpp"
#include "support/nearest.hpp"

namespace qcqa {
namespace {

std::string number(double value) { return format_number("%.5g", value); }
std::string percent(double fraction) { return format_number("%.1f %%", 100 * fraction); }

double all_heads(const ReportModel& model) { return static_cast<double>(model.layers) * model.kv_heads; }

std::string list_groups(const ModelPoint& point) {
  const int first = point.layers.front().groups();
  if (std::ranges::all_of(point.layers, [first](const Grouping& g) { return g.groups() == first; })) {
    return std::to_string(first) + " each";
  }
  std::string text;
  for (const Grouping& grouping : point.layers) text += (text.empty() ? "" : " ") + std::to_string(grouping.groups());
  static constexpr std::size_t kWidest = 60;
  return text.size() <= kWidest ? text : text.substr(0, kWidest - 3) + "...";
}

std::string model_section(const Report& report) {
  const ReportModel& model = report.model;
  std::string text = model.path + "\n";
  text += "  " + model.family + ", " + std::to_string(model.layers) + " layers, " + std::to_string(model.query_heads) +
          " query and " + std::to_string(model.kv_heads) + " KV heads of " + std::to_string(model.head_dim) +
          " in each, " + model.dtype + "\n";
  text += "  KV cache " + human_bytes(static_cast<double>(model.kv_bytes_per_token)) + " per token, fingerprint " +
          model.fingerprint + "\n";
  text += "  fitness " + report.fitness_name + " (" + report.fitness_unit + "), qcqa " + report.tool_version + " (" +
          report.tool_commit + ")\n";
  return text;
}

TextTable point_table() {
  return TextTable({"point", "KV heads", "KV cache", "per token", "cost", "of MQA", "gap", "<  groups"});
}

std::string gap_text(double cost, double lower_bound) {
  const double gap = bound_gap(cost, lower_bound);
  return gap == 0 ? "0" : lower_bound > 0 ? format_number("%.2g %%", 100 * gap) : "-";
}

void add_point(TextTable& table, const std::string& name, const ModelPoint& point, const Report& report) {
  const double reference = report.hypervolume_reference_cost;
  table.add({name, std::to_string(point.kv_heads), percent(point.kv_heads / all_heads(report.model)),
             human_bytes(static_cast<double>(point.kv_heads * report.model.kv_bytes_per_head())), number(point.cost),
             reference > 0 ? percent(point.cost / reference) : "-", gap_text(point.cost, point.lower_bound),
             "  " + list_groups(point)});
}

std::string front_kind(const Report& report) {
  if (report.options.value("uniform", false)) return "equal groups, one group count for all layers (--layout gqa)";
  const auto& front = report.search.front;
  const bool any = front.empty() || front.front().cardinality == Cardinality::arbitrary;
  return std::string(any ? "any" : cardinality_name(front.front().cardinality)) + " groups (--layout expanded)";
}

std::string front_section(const Report& report) {
  TextTable table = point_table();
  const auto& front = report.search.front;
  // A big model has a thousand points; show about thirty, evenly, and say so.
  static constexpr std::size_t kShown = 32;
  const std::size_t step = std::max<std::size_t>(1, (front.size() + kShown - 1) / kShown);
  for (std::size_t i = 0; i < front.size(); ++i) {
    if (i % step == 0 || i + 1 == front.size()) add_point(table, std::to_string(i), front[i], report);
  }
  std::string text = "Front: best plan at each KV size, " + front_kind(report) + "\n" + table.str();
  if (step > 1)
    text += "  (every " + std::to_string(step) + "th of " + std::to_string(front.size()) +
            " points; all are in the JSON)\n";
  return text + "  hypervolume " + number(report.hypervolume) + " of at most 1, against all heads at the cost of MQA\n";
}

std::string uniform_section(const Report& report) {
  TextTable table = point_table();
  for (const ModelPoint& point : report.search.uniform) add_point(table, "-", point, report);
  return "Uniform plans: equal groups, one group count for all layers (--layout gqa)\n" + table.str();
}

std::string baseline_section(const Report& report) {
  TextTable table({"<baseline", "groups", "KV cache", "cost", "of MQA"});
  for (const Baseline& baseline : report.baselines) {
    const double reference = report.hypervolume_reference_cost;
    table.add({baseline.name, std::to_string(baseline.groups), percent(baseline.kv_fraction), number(baseline.cost),
               reference > 0 ? percent(baseline.cost / reference) : "-"});
  }
  return "Baselines: contiguous groups, as mean-pooling GQA makes them (kdgqa: of sizes that follow the key norms)\n" +
         table.str();
}

std::string layers_section(const Report& report) {
  std::vector<int> counts;
  const int heads = report.model.kv_heads;
  for (int groups = heads / 2; groups >= 1; groups /= 2) counts.push_back(groups);
  std::vector<std::string> header{"layer", "MQA cost"};
  for (const int groups : counts) {
    for (const char* kind : {"any", "equal", "contig."})
      header.push_back(std::string(kind) + " " + std::to_string(groups));
  }
  TextTable table(header);
  for (const LayerFront& layer : report.search.layers) {
    std::vector<std::string> row{std::to_string(layer.layer), number(layer.one_group_cost)};
    for (const int groups : counts) {
      for (const Cardinality cardinality : {Cardinality::arbitrary, Cardinality::equal, Cardinality::contiguous}) {
        const LayerGrouping* entry = layer.find(cardinality, groups);
        row.push_back(entry && layer.one_group_cost > 0 ? format_number("%.3f", entry->cost / layer.one_group_cost)
                                                        : "-");
      }
    }
    table.add(row);
  }
  return "Layers: cost of the best grouping as a share of the layer's MQA cost, by kind and number of groups\n" +
         table.str();
}

// Per kind: how many groupings are proven, and the widest gap of the others.
std::string bounds_section(const Report& report) {
  TextTable table({"<kind", "groupings", "proven", "widest gap"});
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
    table.add({std::string(cardinality_name(cardinality)), std::to_string(groupings), std::to_string(proven),
               gap_text(widest->cost, widest->lower_bound)});
  }
  return "Bounds: how far below the groupings found the best of the layer can lie, at most\n" + table.str();
}

std::string plan_section(const Report& report) {
  if (!report.plan) return "Plan: none (this report is of a search, not of a conversion)\n";
  std::string text = "Plan: " + report.plan->origin + ", cost " + number(report.plan->cost) + "\n";
  TextTable table({"layer", "groups", "<  group of each KV head"});
  for (std::size_t i = 0; i < report.plan->layers.size(); ++i) {
    const Grouping& grouping = report.plan->layers[i].grouping;
    std::string labels = " ";
    for (const std::uint8_t label : grouping.labels()) labels += " " + std::to_string(label);
    table.add({std::to_string(i), std::to_string(grouping.groups()), labels});
  }
  return text + table.str();
}

std::string evaluation_section(const Report& report) {
  if (!report.evaluation) return "Evaluation\n  none: `qcqa run --text FILE` makes one\n";
  const Evaluation& evaluation = *report.evaluation;
  TextTable table({"<model", "perplexity", "cross-entropy", "KL mean", "KL p99", "same likeliest token"});
  const auto number = [](double value) { return format_number("%.4f", value); };
  const auto& reference = evaluation.reference;
  table.add({"converted", format_number("%.4g", evaluation.perplexity),
             number(evaluation.cross_entropy) + " +/- " + number(evaluation.standard_error),
             reference ? number(reference->kl_mean) : "-", reference ? number(reference->kl_p99) : "-",
             reference ? format_number("%.2f %%", 100 * reference->top1_agreement) : "-"});
  if (reference) {
    table.add(
        {"original", format_number("%.4g", reference->perplexity), number(reference->cross_entropy), "-", "-", "-"});
    table.add({"difference", format_number("%+.2f %%", 100 * evaluation.perplexity_increase()),
               format_number("%+.4f", reference->difference) + " +/- " + number(reference->difference_error), "-", "-",
               "-"});
  }
  return "Evaluation on " + std::to_string(evaluation.tokens) + " tokens of " + std::to_string(evaluation.documents) +
         " document(s)\n" + table.str();
}

std::string timings_section(const Report& report) {
  TextTable table({"<step", "seconds"});
  for (const auto& [name, seconds] : report.timings) table.add({name, format_number("%.3f", seconds)});
  return "Timings\n" + table.str();
}

struct Section {
  std::string_view name;
  std::string (*text)(const Report&);
};

constexpr std::array kSections = {
    Section{"model", model_section},     Section{"front", front_section},
    Section{"uniform", uniform_section}, Section{"baselines", baseline_section},
    Section{"layers", layers_section},   Section{"bounds", bounds_section},
    Section{"plan", plan_section},       Section{"evaluation", evaluation_section},
    Section{"timings", timings_section},
};

}  // namespace

std::vector<std::string_view> report_sections() {
  std::vector<std::string_view> names;
  for (const Section& section : kSections) names.push_back(section.name);
  return names;
}

std::string report_tables(const Report& report, const std::vector<std::string>& sections) {
  const auto names = report_sections();
  for (const std::string& wanted : sections) {
    if (std::ranges::find(names, wanted) != names.end()) continue;
    std::string known;
    for (const std::string_view name : names) known.append(known.empty() ? "" : ", ").append(name);
    throw Error(ErrorKind::invalid_argument, "--select", "a report has the sections " + known, wanted,
                did_you_mean(wanted, names));
  }
  std::string text;
  for (const Section& section : kSections) {
    const bool chosen = sections.empty() ? (section.name != "plan" || report.plan) &&
                                               (section.name != "evaluation" || report.evaluation)
                                         : std::ranges::find(sections, section.name) != sections.end();
    if (chosen) text += (text.empty() ? "" : "\n") + section.text(report);
  }
  return text;
}

std::string human_bytes(double bytes) {
  static constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < kUnits.size(); ++unit) bytes /= 1024;
  const bool whole = bytes == static_cast<double>(static_cast<std::int64_t>(bytes));
  return format_number(whole || bytes >= 100 ? "%.0f " : "%.1f ", bytes) + kUnits[unit];
}

}  // namespace qcqa
