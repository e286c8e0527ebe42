#pragma once

#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "checkpoint/json_view.hpp"
#include "qcqa/model/setting.hpp"

namespace qcqa {

/// Reads one JSON object of an architecture description and complains about keys nobody asked for, so that a typo
/// cannot be ignored.
class ObjectReader {
 public:
  explicit ObjectReader(JsonView object) : object_(std::move(object)) {}

  /// @throws Error(corrupt), as all of these do, when it is absent or null
  JsonView required(const char* key);
  /// Nothing for null, which says "this family has no such thing". @throws when it is absent
  std::optional<JsonView> required_or_null(const char* key);
  /// Nothing when it is absent.
  std::optional<JsonView> optional(const char* key);
  std::string text(const char* key) { return required(key).text(); }
  /// A string, or empty where the key is absent.
  std::string optional_text(const char* key);
  /// Not empty.
  std::vector<JsonView> array(const char* key);
  std::vector<std::string> texts(const char* key);
  /// Empty where the key is absent.
  std::map<std::string, std::string> text_map(const char* key);
  /// A literal; stays as it is where the key is absent.
  template <typename T>
  void value(const char* key, T& value) {
    if (const auto found = optional(key)) value = literal<T>(*found);
  }
  /// The value of the row that the text names; stays as it is where the key is absent.
  template <typename T>
  void choice(const char* key, T& value, std::initializer_list<std::pair<const char*, T>> rows) {
    const auto found = optional(key);
    if (!found) return;
    const std::string name = found->text();
    std::string known;
    for (const auto& [row, meaning] : rows) {
      if (name == row) {
        value = meaning;
        return;
      }
      known.append(known.empty() ? "\"" : ", \"").append(row).append("\"");
    }
    found->corrupt("is one of " + known, name);
  }

  /// A literal, or {"key": ..., "also": ..., "default": ..., "null": ...}; `setting` stays as it is where the key is
  /// absent.
  template <typename T>
  void setting(const char* key, Setting<T>& setting) {
    const auto found = optional(key);
    if (!found) return;
    if (!found->value().is_object()) {
      setting = {.key = {}, .fallback = literal<T>(*found), .null = {}, .also = {}};
      return;
    }
    ObjectReader inner(*found);
    setting.key = inner.text("key");
    setting.also = inner.optional_text("also");
    setting.fallback = literal<T>(inner.required("default"));
    if (const auto null = inner.optional("null")) setting.null = literal<T>(*null);
    inner.finish();
  }

  /// A setting that must be there.
  template <typename T>
  void required_setting(const char* key, Setting<T>& value) {
    (void)required(key);
    setting(key, value);
  }

  [[nodiscard]] ObjectReader child(const char* key) { return ObjectReader(required(key)); }

  /// @throws Error when a key was never asked for
  void finish() const;
  [[noreturn]] void fail(const std::string& rule, const std::string& found) const { object_.corrupt(rule, found); }

 private:
  template <typename T>
  static T literal(const JsonView& view) {
    if constexpr (std::is_same_v<T, double>) {
      return view.number(std::numeric_limits<double>::lowest());
    } else if constexpr (std::is_same_v<T, int>) {
      return static_cast<int>(view.integer(std::numeric_limits<int>::min(), std::numeric_limits<int>::max()));
    } else if constexpr (std::is_same_v<T, bool>) {
      return view.flag();
    } else {
      return view.text();
    }
  }

  JsonView object_;
  std::vector<std::string> asked_;
};

}  // namespace qcqa
