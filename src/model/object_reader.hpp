#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "qcqa/model/forward_description.hpp"

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
  /// Stays as it is where the key is absent.
  void flag(const char* key, bool& value);

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

/// The "forward" part of a description.
[[nodiscard]] ForwardDescription parse_forward_description(ObjectReader reader);

}  // namespace qcqa
