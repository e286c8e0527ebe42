#pragma once

#include <optional>
#include <string>

namespace qcqa {

/// A value that config.json may hold under `key`; `fallback` is what the family's class takes where the key is absent.
/// Without a key it is always `fallback`.
template <typename T>
struct Setting {
  std::string key;  ///< "a.b": the key b of the object under a
  T fallback{};
  std::optional<T> null{};  ///< what JSON null stands for; nothing: the class refuses it
  std::string also{};       ///< another name that the class takes for the key; empty: none
};

}  // namespace qcqa
