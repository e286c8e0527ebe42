#include "model/object_reader.hpp"

#include <algorithm>

namespace qcqa {

JsonView ObjectReader::required(const char* key) {
  asked_.emplace_back(key);
  return object_.at(key);
}

std::optional<JsonView> ObjectReader::required_or_null(const char* key) {
  auto found = optional(key);
  if (!found && !object_.value().contains(key)) (void)object_.at(key);
  return found;
}

std::optional<JsonView> ObjectReader::optional(const char* key) {
  asked_.emplace_back(key);
  return object_.find(key);
}

std::string ObjectReader::optional_text(const char* key) {
  const auto found = optional(key);
  return found ? found->text() : std::string();
}

std::vector<JsonView> ObjectReader::array(const char* key) {
  const JsonView found = required(key);
  std::vector<JsonView> items = found.items();
  if (items.empty()) found.corrupt("must not be empty");
  return items;
}

std::vector<std::string> ObjectReader::texts(const char* key) {
  std::vector<std::string> all;
  for (const JsonView& value : array(key)) all.push_back(value.text());
  return all;
}

std::map<std::string, std::string> ObjectReader::text_map(const char* key) {
  std::map<std::string, std::string> all;
  if (const auto found = optional(key)) {
    for (const auto& [name, value] : found->members()) all.emplace(name, value.text());
  }
  return all;
}

void ObjectReader::finish() const {
  for (const auto& [key, value] : object_.members()) {
    if (std::ranges::find(asked_, key) == asked_.end()) fail("must have known keys only", key);
  }
}

}  // namespace qcqa
