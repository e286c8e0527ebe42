#include <cstddef>
#include <string>

#include "report/report_fields.hpp"

namespace qcqa {
namespace {

using nlohmann::ordered_json;

/// The loosest limits that a report can have.
const ReportModel& largest_model() {
  static const ReportModel model{.path = {},
                                 .fingerprint = {},
                                 .family = {},
                                 .dtype = {},
                                 .layers = static_cast<int>(kMostCount),
                                 .kv_heads = kMaxKvHeads,
                                 .kv_bytes_per_token = kMostCount * kMaxKvHeads};
  return model;
}

ordered_json described(ordered_json schema, const char* about) {
  if (*about != '\0') schema["description"] = about;
  return schema;
}

ordered_json array_of(ordered_json items, const char* about = "") {
  return described({{"type", "array"}, {"items", std::move(items)}}, about);
}

/// Makes the JSON Schema of things, whose values do not matter. See field_rules.hpp.
class FieldSchema {
 public:
  /// @param definitions  where the schemas of list elements go, by their kind
  explicit FieldSchema(ordered_json& definitions) : definitions_(definitions) {}

  [[nodiscard]] static const ReportModel& model() { return largest_model(); }
  [[nodiscard]] static std::size_t index() { return 0; }
  [[nodiscard]] ordered_json take() {
    return {{"type", "object"}, {"required", std::move(required_)}, {"properties", std::move(properties_)}};
  }

  void field(const char* name, const auto& value, const auto&... rest) {
    required_.push_back(name);
    added(name, value, rest...);
  }
  void derived(const char* name, const auto& value, const auto&... rest) { field(name, value, rest...); }
  void added(const char* name, const auto& value, const auto&... rest) { properties_[name] = type_of(value, rest...); }
  void constant(const char* name, const auto& value) { require(name, {{"const", value}}); }
  void json(const char* name, const ordered_json&) { require(name, {{"type", "object"}}); }
  void seconds(const char* name, const auto&) {
    require(name, {{"type", "object"}, {"additionalProperties", type_of(0.0, Numbers{})}});
  }
  template <typename T>
  void choice(const char* name, const T&, const Names<T>& names) {
    ordered_json texts = ordered_json::array();
    for (const auto& row : names) texts.push_back(row.first);
    require(name, {{"enum", std::move(texts)}});
  }

  void labels(const char* name, const Grouping&) { require(name, labels_reference()); }
  void labels_per_layer(const char* name, const auto&) { require(name, array_of(labels_reference())); }

  void object(const char* name, const auto& body) {
    required_.push_back(name);
    added_object(name, body);
  }
  void added_object(const char* name, const auto& body) {
    FieldSchema inner(definitions_);
    body(inner);
    properties_[name] = inner.take();
  }
  template <typename T>
  void optional(const char* name, const std::optional<T>&) {
    const T thing{};
    added_object(name, [&](auto& inner) { fields(inner, thing); });
  }
  template <typename T>
  void optional_number(const char* name, const std::optional<T>&, const auto&... rest) {
    added(name, T{}, rest...);
  }

  void list(const char* name, const char* kind, const auto& things, const auto&... rest) {
    required_.push_back(name);
    optional_list(name, kind, things, rest...);
  }
  void list_per_layer(const char* name, const char* kind, const auto& things) { list(name, kind, things); }
  void optional_list(const char* name, const char* kind, const auto& things) {
    optional_list(name, kind, things, [](auto& inner, const auto& thing) { fields(inner, thing); });
  }
  template <typename T>
  void optional_list(const char* name, const char* kind, const std::vector<T>&, const auto& body,
                     const char* about = "") {
    if (!definitions_.contains(kind)) {
      FieldSchema inner(definitions_);
      const T thing{};
      body(inner, thing);
      definitions_[kind] = inner.take();
    }
    properties_[name] = array_of(reference(kind), about);
  }

  void check(const auto& /*rules*/) {}

 private:
  static ordered_json reference(const char* kind) { return {{"$ref", std::string("#/$defs/") + kind}}; }

  ordered_json labels_reference() {
    definitions_["labels"] = {{"type", "array"},
                              {"minItems", 1},
                              {"maxItems", kMaxKvHeads},
                              {"items", type_of(0, Integers{0, kMaxKvHeads - 1})}};
    return reference("labels");
  }

  void require(const char* name, ordered_json schema) {
    required_.push_back(name);
    properties_[name] = std::move(schema);
  }

  static ordered_json type_of(const std::string&, const char* about = "") {
    return described({{"type", "string"}}, about);
  }
  static ordered_json type_of(bool, const char* about = "") { return described({{"type", "boolean"}}, about); }
  static ordered_json type_of(double, Numbers rule, const char* about = "") {
    ordered_json schema = {{"type", "number"}};
    if (std::isfinite(rule.least)) schema["minimum"] = rule.least;
    if (std::isfinite(rule.most)) schema["maximum"] = rule.most;
    return described(std::move(schema), about);
  }
  static ordered_json type_of(std::int64_t, Integers rule, const char* about = "") {
    ordered_json schema = {{"type", "integer"}, {"minimum", rule.least}};
    if (rule.most <= kMostCount) schema["maximum"] = rule.most;
    return described(std::move(schema), about);
  }
  static ordered_json type_of(const std::vector<int>&, const char* about = "") {
    return array_of(type_of(0, Integers{1, kMaxKvHeads}), about);
  }

  ordered_json& definitions_;
  ordered_json required_ = ordered_json::array();
  ordered_json properties_ = ordered_json::object();
};

std::string make_schema() {
  ordered_json definitions = ordered_json::object();
  FieldSchema visitor(definitions);
  const Report report{};
  fields(visitor, report);
  ordered_json schema = {
      {"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"$id", "qcqa-report-1"}, {"title", "qcqa report"}};
  schema.update(visitor.take());
  schema["$defs"] = std::move(definitions);
  return schema.dump(2) + "\n";
}

}  // namespace

std::string_view report_schema() {
  static const std::string schema = make_schema();
  return schema;
}

}  // namespace qcqa
