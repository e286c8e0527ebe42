#include <cmath>
#include <cstddef>

#include "checkpoint/json_file.hpp"
#include "qcqa/support/error.hpp"
#include "report/report_fields.hpp"

namespace qcqa {
namespace {

constexpr const char* kFix = "A report is what `qcqa search` writes.";

Grouping grouping_of(const JsonView& view, int heads) {
  std::vector<int> labels;
  for (const JsonView& label : view.items(static_cast<std::size_t>(heads), "KV head")) {
    labels.push_back(static_cast<int>(label.integer(0, heads - 1)));
  }
  return Grouping::from_labels(labels);
}

/// Makes things of JSON. See field_rules.hpp.
class FieldReader {
 public:
  FieldReader(JsonView view, const ReportModel& model, std::size_t index)
      : view_(std::move(view)), model_(model), index_(index) {}

  [[nodiscard]] const ReportModel& model() const { return model_; }
  [[nodiscard]] std::size_t index() const { return index_; }

  void field(const char* name, std::string& value, const char* /*about*/ = "") { value = view_.at(name).text(); }
  void field(const char* name, bool& value, const char* /*about*/ = "") { value = view_.at(name).flag(); }
  void field(const char* name, double& value, Numbers rule, const char* /*about*/ = "") {
    value = view_.at(name).number(rule.least, rule.most);
  }
  template <std::integral T>
  void field(const char* name, T& value, Integers rule, const char* /*about*/ = "") {
    value = static_cast<T>(view_.at(name).integer(rule.least, rule.most));
  }
  void derived(const char* /*name*/, const auto&...) {}
  void added(const char* name, auto& value, auto rule, const char* about = "") {
    if (view_.has(name)) field(name, value, rule, about);
  }
  void constant(const char* name, const auto& value) {
    if (view_.at(name).value() != value) {
      view_.at(name).corrupt("must be " + nlohmann::json(value).dump(), view_.at(name).value().dump());
    }
  }
  void json(const char* name, nlohmann::ordered_json& value) {
    (void)view_.at(name).members();  // must be an object
    value = view_.at(name).value();
  }
  void seconds(const char* name, std::map<std::string, double>& map) {
    for (const auto& [key, value] : view_.at(name).members()) map[key] = value.number(0);
  }

  template <typename T>
  void choice(const char* name, T& value, const Names<T>& names) {
    const std::string text = view_.at(name).text();
    std::string known;
    for (const auto& [named, meaning] : names) {
      if (text == named) {
        value = meaning;
        return;
      }
      known.append(known.empty() ? "" : ", ").append(named);
    }
    view_.at(name).corrupt("must be one of " + known, text);
  }

  void labels(const char* name, Grouping& grouping) { grouping = grouping_of(view_.at(name), model_.kv_heads); }
  void labels_per_layer(const char* name, std::vector<Grouping>& groupings) {
    for (const JsonView& labels : view_.at(name).items(layers(), "layer")) {
      groupings.push_back(grouping_of(labels, model_.kv_heads));
    }
  }

  void object(const char* name, const auto& body) { child(view_.at(name), 0, body); }
  void added_object(const char* name, const auto& body) {
    if (view_.has(name)) object(name, body);
  }
  void optional(const char* name, auto& thing) {
    if (!view_.has(name)) return;
    thing.emplace();
    object(name, [&](auto& inner) { fields(inner, *thing); });
  }
  void optional_number(const char* name, auto& value, auto rule, const char* about = "") {
    if (view_.has(name)) field(name, value.emplace(), rule, about);
  }

  void list(const char* name, const char* /*kind*/, auto& things, const auto& body, const char* /*about*/ = "") {
    append(view_.at(name).items(), things, body);
  }
  void list(const char* name, const char* /*kind*/, auto& things) { append(view_.at(name).items(), things, kFields); }
  void list_per_layer(const char* name, const char* /*kind*/, auto& things) {
    append(view_.at(name).items(layers(), "layer"), things, kFields);
  }
  void optional_list(const char* name, const char* kind, auto& things, const auto&... rest) {
    if (view_.has(name)) list(name, kind, things, rest...);
  }

  void check(const auto& rules) { rules(view_); }

 private:
  static constexpr auto kFields = [](auto& inner, auto& thing) { fields(inner, thing); };

  [[nodiscard]] std::size_t layers() const { return static_cast<std::size_t>(model_.layers); }

  void child(const JsonView& view, std::size_t index, const auto& body) {
    FieldReader inner(view, model_, index);
    body(inner);
  }

  void append(const std::vector<JsonView>& items, auto& things, const auto& body) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      auto& thing = things.emplace_back();
      child(items[i], i, [&](auto& inner) { body(inner, thing); });
    }
  }

  JsonView view_;
  const ReportModel& model_;
  std::size_t index_;
};

/// What the first reports did not tell and what follows from the rest.
void complete(Report& report, const JsonView& root) {
  if (!root.has("search")) {
    for (const LayerFront& layer : report.search.layers) report.search.evaluations += layer.evaluations;
  }
  if (report.evaluation && report.evaluation->reference) {
    ReferenceComparison& reference = *report.evaluation->reference;
    if (!root.at("evaluation").at("reference").has("cross_entropy")) {
      reference.cross_entropy = std::log(reference.perplexity);
    }
  }
  if (report.plan) {
    const auto layers = root.at("plan").at("layers").items();
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if (!layers[i].has("kv_source")) report.plan->layers[i].kv_source = static_cast<int>(i);
    }
  }
}

}  // namespace

Report report_from_json(const nlohmann::json& document, std::string_view where) {
  const JsonView root(document, std::string(where), kFix);
  if (root.at("schema_version").value() != 1) {
    throw Error(ErrorKind::unsupported, where, "schema_version must be 1", root.at("schema_version").value().dump(),
                "Read it with the qcqa that wrote it.");
  }
  Report report;
  FieldReader reader(root, report.model, 0);
  fields(reader, report);
  complete(report, root);
  return report;
}

Report read_report(const std::filesystem::path& file) {
  return report_from_json(read_json_file(file, kFix), file.string());
}

}  // namespace qcqa
