#include "report/json_path_reader.hpp"

#include <cmath>
#include <utility>

#include "qcqa/support/error.hpp"

namespace qcqa {

JsonPathReader::JsonPathReader(const nlohmann::json& value, std::string where, std::string path)
    : value_(value), where_(std::move(where)), path_(std::move(path)) {}

JsonPathReader JsonPathReader::at(std::string_view key) const {
  if (!has(key)) fail("needs the key " + std::string(key));
  const std::string name(key);
  return {value_.at(name), where_, path_.empty() ? name : path_ + "/" + name};
}

bool JsonPathReader::has(std::string_view key) const {
  if (!value_.is_object()) fail("must be an object", value_.type_name());
  return value_.contains(key);
}

JsonPathReader JsonPathReader::at(std::size_t index) const {
  return {value_.at(index), where_, path_ + "/" + std::to_string(index)};
}

std::size_t JsonPathReader::size() const {
  if (!value_.is_array()) fail("must be an array", value_.type_name());
  return value_.size();
}

std::string JsonPathReader::text() const {
  if (!value_.is_string()) fail("must be a string", value_.type_name());
  return value_.get<std::string>();
}

std::int64_t JsonPathReader::integer(std::int64_t low, std::int64_t high) const {
  const bool fits =
      value_.is_number_integer() && (!value_.is_number_unsigned() || value_.get<std::uint64_t>() <= INT64_MAX);
  if (!fits || value_.get<std::int64_t>() < low || value_.get<std::int64_t>() > high) {
    fail("must be an integer from " + std::to_string(low) + " to " + std::to_string(high), value_.dump());
  }
  return value_.get<std::int64_t>();
}

double JsonPathReader::number() const {
  if (!value_.is_number() || !std::isfinite(value_.get<double>())) fail("must be a number", value_.dump());
  return value_.get<double>();
}

double JsonPathReader::non_negative() const {
  if (!value_.is_number() || number() < 0) fail("must be a number >= 0", value_.dump());
  return number();
}

void JsonPathReader::fail(std::string_view rule, std::string_view found) const {
  throw Error(ErrorKind::corrupt, path_.empty() ? where_ : where_ + ": " + path_, rule, found,
              "A report is what `qcqa search` writes.");
}

}  // namespace qcqa
