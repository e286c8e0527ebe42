#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace qcqa {

/// Walks an untrusted JSON document; every complaint names the file and the path inside it ("layers/3/groups").
class JsonPathReader {
 public:
  JsonPathReader(const nlohmann::json& value, std::string where, std::string path = {});

  /// A member of an object. @throws Error(corrupt) when this is no object or the key is missing
  [[nodiscard]] JsonPathReader at(std::string_view key) const;
  [[nodiscard]] bool has(std::string_view key) const;
  /// An element of an array; size() elements.
  [[nodiscard]] JsonPathReader at(std::size_t index) const;
  [[nodiscard]] std::size_t size() const;

  [[nodiscard]] std::string text() const;
  /// An integer in [low, high].
  [[nodiscard]] std::int64_t integer(std::int64_t low, std::int64_t high) const;
  /// A finite number.
  [[nodiscard]] double number() const;
  /// A finite number >= 0.
  [[nodiscard]] double non_negative() const;
  [[nodiscard]] const nlohmann::json& value() const { return value_; }

  [[noreturn]] void fail(std::string_view rule, std::string_view found = {}) const;

 private:
  const nlohmann::json& value_;
  std::string where_, path_;
};

}  // namespace qcqa
