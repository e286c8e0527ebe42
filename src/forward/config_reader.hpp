#pragma once

#include <string>

#include "qcqa/model/model.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {

/// The JSON value of `key` as T; null is T{}. @throws Error(corrupt) for another type
template <typename T>
T config_value(const Model& model, const nlohmann::ordered_json& value, const std::string& key) {
  if (value.is_null()) return T{};
  const bool fits = std::is_same_v<T, double> ? value.is_number()
                    : std::is_same_v<T, bool> ? value.is_boolean()
                                              : value.is_string();
  if (!fits)
    throw Error(ErrorKind::corrupt, model.config_file().string(), "\"" + key + "\" has the wrong type",
                value.dump());
  return value.get<T>();
}

template <typename T>
T config_value(const Model& model, const Setting<T>& setting) {
  const auto it = setting.key.empty() ? model.config().end() : model.config().find(setting.key);
  return it == model.config().end() ? setting.fallback : config_value<T>(model, *it, setting.key);
}

}  // namespace qcqa
