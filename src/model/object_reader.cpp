#include "model/object_reader.hpp"

#include <algorithm>

#include "qcqa/support/error.hpp"

namespace qcqa {

using nlohmann::json;

ObjectReader::ObjectReader(const json& object, std::string where) : object_(object), where_(std::move(where)) {
  if (!object_.is_object()) fail("must be a JSON object", object_.dump());
}

const json& ObjectReader::required(const char* key) {
  const json* value = optional(key);
  if (!value) fail(std::string("needs the key \"") + key + "\"", "none");
  return *value;
}

const json* ObjectReader::optional(const char* key) {
  seen_.emplace_back(key);
  const auto it = object_.find(key);
  return it == object_.end() ? nullptr : &*it;
}

std::string ObjectReader::text(const char* key) {
  const json& value = required(key);
  if (!value.is_string()) fail(std::string("\"") + key + "\" must be a string", value.dump());
  return value.get<std::string>();
}

std::string ObjectReader::text_or_null(const char* key) { return required(key).is_null() ? std::string() : text(key); }

std::string ObjectReader::optional_text(const char* key) { return optional(key) ? text(key) : std::string(); }

const json& ObjectReader::array(const char* key) {
  const json& value = required(key);
  if (!value.is_array() || value.empty()) fail(std::string("\"") + key + "\" must be a non-empty array", value.dump());
  return value;
}

std::vector<std::string> ObjectReader::texts(const char* key) {
  std::vector<std::string> all;
  for (const json& value : array(key)) {
    if (!value.is_string()) fail(std::string("\"") + key + "\" must hold strings", value.dump());
    all.push_back(value.get<std::string>());
  }
  return all;
}

void ObjectReader::flag(const char* key, bool& value) {
  if (const json* found = optional(key)) value = literal<bool>(key, *found);
}

void ObjectReader::finish() const {
  for (const auto& [key, value] : object_.items()) {
    if (std::ranges::find(seen_, key) == seen_.end()) fail("must have known keys only", key);
  }
}

void ObjectReader::fail(const std::string& rule, const std::string& found) const {
  throw Error(ErrorKind::invalid_argument, where_, rule, found);
}

}  // namespace qcqa
