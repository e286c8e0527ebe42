#include <cstddef>

#include "report/report_fields.hpp"

namespace qcqa {
namespace {

using nlohmann::ordered_json;

ordered_json labels_of(const Grouping& grouping) {
  return std::vector<int>(grouping.labels().begin(), grouping.labels().end());
}

/// Makes JSON of things. See field_rules.hpp.
class FieldWriter {
 public:
  FieldWriter(const ReportModel& model, std::size_t index) : model_(model), index_(index) {}

  [[nodiscard]] const ReportModel& model() const { return model_; }
  [[nodiscard]] std::size_t index() const { return index_; }
  [[nodiscard]] ordered_json take() { return std::move(json_); }

  void field(const char* name, const auto& value, const auto&...) { json_[name] = value; }
  void derived(const char* name, const auto& value, const auto&...) { json_[name] = value; }
  void added(const char* name, const auto& value, const auto&...) { json_[name] = value; }
  void constant(const char* name, const auto& value) { json_[name] = value; }
  void json(const char* name, const ordered_json& value) { json_[name] = value; }
  void seconds(const char* name, const auto& map) { json_[name] = map; }

  template <typename T>
  void choice(const char* name, const T& value, const Names<T>& names) {
    for (const auto& [text, named] : names) {
      if (named == value) json_[name] = text;
    }
  }

  void labels(const char* name, const Grouping& grouping) { json_[name] = labels_of(grouping); }
  void labels_per_layer(const char* name, const std::vector<Grouping>& groupings) {
    json_[name] = ordered_json::array();
    for (const Grouping& grouping : groupings) json_[name].push_back(labels_of(grouping));
  }

  void object(const char* name, const auto& body) { json_[name] = child(0, body); }
  void added_object(const char* name, const auto& body) { object(name, body); }
  void optional(const char* name, const auto& thing) {
    if (thing) object(name, [&](auto& inner) { fields(inner, *thing); });
  }

  void optional_number(const char* name, const auto& value, const auto&...) {
    if (value) json_[name] = *value;
  }

  void list(const char* name, const char* /*kind*/, const auto& things, const auto& body, const auto&...) {
    json_[name] = ordered_json::array();
    for (std::size_t i = 0; i < things.size(); ++i) {
      json_[name].push_back(child(i, [&](auto& inner) { body(inner, things[i]); }));
    }
  }
  void list(const char* name, const char* kind, const auto& things) {
    list(name, kind, things, [](auto& inner, const auto& thing) { fields(inner, thing); });
  }
  void list_per_layer(const char* name, const char* kind, const auto& things) { list(name, kind, things); }
  void optional_list(const char* name, const char* kind, const auto& things, const auto&... rest) {
    if (!things.empty()) list(name, kind, things, rest...);
  }

  void check(const auto& /*rules*/) {}

 private:
  ordered_json child(std::size_t index, const auto& body) {
    FieldWriter inner(model_, index);
    body(inner);
    return inner.take();
  }

  const ReportModel& model_;
  std::size_t index_;
  ordered_json json_ = ordered_json::object();
};

/// Of what knows nothing of a model.
ordered_json json_alone(const auto& thing) {
  const ReportModel none;
  FieldWriter writer(none, 0);
  fields(writer, thing);
  return writer.take();
}

}  // namespace

ordered_json to_json(const Evaluation& evaluation) { return json_alone(evaluation); }

ordered_json to_json(const ChoiceEvaluation& choices) { return json_alone(choices); }

ordered_json to_json(const Report& report) {
  FieldWriter writer(report.model, 0);
  fields(writer, report);
  return writer.take();
}

}  // namespace qcqa
