#include "search/state_reader.hpp"

#include <cstdint>
#include <utility>

#include <nlohmann/json.hpp>

#include "qcqa/support/error.hpp"

namespace qcqa {

StateReader::StateReader(const nlohmann::json& object, std::string where) : object_(&object), where_(std::move(where)) {
  if (!object.is_object()) throw Error(ErrorKind::corrupt, where_, "must be an object", object.type_name());
}

void StateReader::fail(const char* name, const std::string& rule) const {
  throw Error(ErrorKind::corrupt, where_ + "." + name, rule, {}, "Start the search anew.");
}

const nlohmann::json& StateReader::field(const char* name) const {
  const auto it = object_->find(name);
  if (it == object_->end()) fail(name, "is missing");
  return *it;
}

const nlohmann::json& StateReader::array(const char* name, std::size_t size) const {
  const auto& value = field(name);
  if (!value.is_array() || value.size() != size) fail(name, "must be an array of " + std::to_string(size));
  return value;
}

std::int64_t StateReader::integer(const char* name, std::int64_t low, std::int64_t high) const {
  const auto& value = field(name);
  const std::string rule = "must be an integer from " + std::to_string(low) + " to " + std::to_string(high);
  if (!value.is_number_integer()) fail(name, rule);
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX))
    fail(name, rule);
  const auto number = value.get<std::int64_t>();
  if (number < low || number > high) fail(name, rule);
  return number;
}

void StateReader::words(const char* name, std::span<std::uint64_t> out) const {
  const auto& values = array(name, out.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!values[i].is_number_unsigned()) fail(name, "must hold unsigned 64-bit integers");
    out[i] = values[i].get<std::uint64_t>();
  }
}

std::vector<std::vector<std::uint8_t>> StateReader::byte_rows(const char* name, std::size_t most) const {
  const auto& rows = field(name);
  if (!rows.is_array() || rows.size() > most) fail(name, "must be an array of at most " + std::to_string(most));
  std::vector<std::vector<std::uint8_t>> result;
  result.reserve(rows.size());
  for (const auto& row : rows) {
    if (!row.is_array()) fail(name, "must hold arrays");
    auto& bytes = result.emplace_back();
    bytes.reserve(row.size());
    for (const auto& value : row) {
      if (!value.is_number_unsigned() || value.get<std::uint64_t>() > 255)
        fail(name, "must hold integers from 0 to 255");
      bytes.push_back(value.get<std::uint8_t>());
    }
  }
  return result;
}

}  // namespace qcqa
