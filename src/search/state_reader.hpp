#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace qcqa {

/// Reads fields of an object in a saved search. The file may hold anything: every access is checked, and every fault
/// is an Error(corrupt) that names the field.
class StateReader {
 public:
  /// @param object  not owned
  /// @throws Error(corrupt) unless it is an object
  StateReader(const nlohmann::json& object, std::string where);

  [[nodiscard]] const nlohmann::json& field(const char* name) const;
  [[nodiscard]] const nlohmann::json& array(const char* name, std::size_t size) const;
  [[nodiscard]] std::int64_t integer(const char* name, std::int64_t low, std::int64_t high) const;
  /// Exactly out.size() unsigned 64-bit integers.
  void words(const char* name, std::span<std::uint64_t> out) const;
  /// At most `most` arrays of bytes.
  [[nodiscard]] std::vector<std::vector<std::uint8_t>> byte_rows(const char* name, std::size_t most) const;

  [[noreturn]] void fail(const char* name, const std::string& rule) const;

 private:
  const nlohmann::json* object_;
  std::string where_;
};

}  // namespace qcqa
