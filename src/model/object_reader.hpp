#pragma once

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "qcqa/model/setting.hpp"

namespace qcqa {

/// Reads one JSON object of an architecture description and complains about keys nobody asked for, so that a typo
/// cannot be ignored.
class ObjectReader {
 public:
  ObjectReader(const nlohmann::json& object, std::string where);

  const nlohmann::json& required(const char* key);
  const nlohmann::json* optional(const char* key);
  std::string text(const char* key);
  /// A string, or null for "this family has no such key".
  std::string text_or_null(const char* key);
  /// A string, or empty where the key is absent.
  std::string optional_text(const char* key);
  const nlohmann::json& array(const char* key);
  std::vector<std::string> texts(const char* key);
  /// Stays as it is where the key is absent.
  void flag(const char* key, bool& value);
  /// The value of the row that the text names; stays as it is where the key is absent.
  template <typename T>
  void choice(const char* key, T& value, std::initializer_list<std::pair<const char*, T>> rows) {
    if (!optional(key)) return;
    const std::string name = text(key);
    std::string known;
    for (const auto& [row, meaning] : rows) {
      if (name == row) {
        value = meaning;
        return;
      }
      known.append(known.empty() ? "\"" : ", \"").append(row).append("\"");
    }
    fail(std::string("\"") + key + "\" is one of " + known, name);
  }

  /// A literal, or {"key": ..., "default": ..., "null": ...}; `setting` stays as it is where the key is absent.
  template <typename T>
  void setting(const char* key, Setting<T>& setting) {
    const nlohmann::json* value = optional(key);
    if (!value) return;
    if (!value->is_object()) {
      setting = {.key = {}, .fallback = literal<T>(key, *value), .null = {}};
      return;
    }
    ObjectReader inner(*value, where_ + ": " + key);
    setting.key = inner.text("key");
    setting.fallback = literal<T>(key, inner.required("default"));
    if (const nlohmann::json* null = inner.optional("null")) setting.null = literal<T>(key, *null);
    inner.finish();
  }

  /// A setting that must be there.
  template <typename T>
  void required_setting(const char* key, Setting<T>& value) {
    (void)required(key);
    setting(key, value);
  }

  [[nodiscard]] ObjectReader child(const char* key) { return {required(key), where_ + ": " + key}; }

  /// @throws Error when a key was never asked for
  void finish() const;
  [[noreturn]] void fail(const std::string& rule, const std::string& found) const;

 private:
  template <typename T>
  T literal(const char* key, const nlohmann::json& value) const {
    constexpr bool kNumber = std::is_same_v<T, double>;
    constexpr bool kInteger = std::is_same_v<T, int>;
    constexpr bool kBool = std::is_same_v<T, bool>;
    const bool fits = kNumber    ? value.is_number()
                      : kInteger ? value.is_number_integer()
                      : kBool    ? value.is_boolean()
                                 : value.is_string();
    if (!fits) {
      fail(std::string("\"") + key + "\" must be " +
               (kNumber    ? "a number"
                : kInteger ? "an integer"
                : kBool    ? "a boolean"
                           : "a string"),
           value.dump());
    }
    return value.get<T>();
  }

  const nlohmann::json& object_;
  std::string where_;
  std::vector<std::string> seen_;
};

}  // namespace qcqa
