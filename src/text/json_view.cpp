#include "text/json_view.hpp"

#include <limits>

#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

constexpr std::size_t kLongestPlace = 16'384;

std::string shown(const nlohmann::json& value) {
  if (value.is_object() || value.is_array()) return value.type_name();
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).substr(0, 60);
}

/// "FILE:" is the root of a document.
std::string without_colon(std::string_view where) {
  if (where.ends_with(':')) where.remove_suffix(1);
  return std::string(where);
}

}  // namespace

std::optional<JsonView> JsonView::find(std::string_view key) const {
  if (!value_->is_object()) corrupt("must be an object", shown(*value_));
  const auto member = value_->find(std::string(key));
  if (member == value_->end() || member->is_null()) return std::nullopt;
  std::string place = where_;
  place.append(place.ends_with(':') ? " " : ".").append(key);
  // Components nest, and the code that reads them recurses.
  if (place.size() > kLongestPlace) corrupt("is nested too deeply");
  return JsonView(*member, std::move(place));
}

JsonView JsonView::at(std::string_view key) const {
  auto member = find(key);
  if (!member) corrupt("must have a member " + in_quotes(key));
  return *std::move(member);
}

std::vector<JsonView> JsonView::items() const {
  if (!value_->is_array()) corrupt("must be an array", shown(*value_));
  std::vector<JsonView> result;
  result.reserve(value_->size());
  for (std::size_t i = 0; i < value_->size(); ++i) {
    result.emplace_back((*value_)[i], where_ + "[" + std::to_string(i) + "]");
  }
  return result;
}

std::string JsonView::text() const {
  if (!value_->is_string()) corrupt("must be a string", shown(*value_));
  return value_->get<std::string>();
}

bool JsonView::flag() const {
  if (!value_->is_boolean()) corrupt("must be true or false", shown(*value_));
  return value_->get<bool>();
}

std::int64_t JsonView::integer(std::int64_t least, std::int64_t most) const {
  const bool fits =
      value_->is_number_integer() &&
      (!value_->is_number_unsigned() ||
       value_->get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
  const std::int64_t number = fits ? value_->get<std::int64_t>() : 0;
  if (!fits || number < least || number > most) {
    corrupt("must be an integer from " + std::to_string(least) + " to " + std::to_string(most), shown(*value_));
  }
  return number;
}

bool JsonView::flag_or(std::string_view key, bool otherwise) const {
  const auto member = find(key);
  return member ? member->flag() : otherwise;
}

std::string JsonView::text_or(std::string_view key, std::string_view otherwise) const {
  const auto member = find(key);
  return member ? member->text() : std::string(otherwise);
}

void JsonView::corrupt(std::string_view rule, std::string_view found) const {
  throw Error(ErrorKind::corrupt, without_colon(where_), rule, found, "Download the file again.");
}

void JsonView::unsupported(std::string_view what) const {
  throw Error(ErrorKind::unsupported, without_colon(where_), std::string(what) + " is not supported", {}, kUseTokenIds);
}

}  // namespace qcqa
