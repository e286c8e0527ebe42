#include "checkpoint/json_view.hpp"

#include <cmath>

#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

constexpr std::size_t kLongestPlace = 16'384;

std::string shown(const nlohmann::json& value) {
  if (value.is_object() || value.is_array()) return value.type_name();
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).substr(0, 60);
}

}  // namespace

std::string JsonView::where() const { return place_.empty() ? file_ : file_ + ": " + place_; }

JsonView JsonView::child(const nlohmann::json& value, std::string place) const {
  // Components nest, and the code that reads them recurses.
  if (place.size() > kLongestPlace) corrupt("is nested too deeply");
  JsonView view(value, file_, fix_);
  view.place_ = std::move(place);
  return view;
}

JsonView JsonView::part(const nlohmann::json& value) const { return child(value, place_); }

std::optional<JsonView> JsonView::find(std::string_view key) const {
  if (!value_->is_object()) corrupt("must be an object", shown(*value_));
  const auto member = value_->find(std::string(key));
  if (member == value_->end() || member->is_null()) return std::nullopt;
  std::string place = place_;
  place.append(place.empty() ? "" : ".").append(key);
  return child(*member, std::move(place));
}

JsonView JsonView::at(std::string_view key) const {
  auto member = find(key);
  if (!member) corrupt("must have a member " + in_quotes(key));
  return *std::move(member);
}

std::vector<std::pair<std::string, JsonView>> JsonView::members() const {
  if (!value_->is_object()) corrupt("must be an object", shown(*value_));
  std::vector<std::pair<std::string, JsonView>> result;
  result.reserve(value_->size());
  for (const auto& [key, value] : value_->items()) {
    std::string place = place_;
    place.append(place.empty() ? "" : ".").append(key);
    result.emplace_back(key, child(value, std::move(place)));
  }
  return result;
}

std::vector<JsonView> JsonView::items() const {
  if (!value_->is_array()) corrupt("must be an array", shown(*value_));
  std::vector<JsonView> result;
  result.reserve(value_->size());
  for (std::size_t i = 0; i < value_->size(); ++i) {
    result.push_back(child((*value_)[i], place_ + "[" + std::to_string(i) + "]"));
  }
  return result;
}

std::vector<JsonView> JsonView::items(std::size_t size, std::string_view what) const {
  if (value_->is_array() && value_->size() != size) {
    corrupt("must have one entry per " + std::string(what) + ", " + std::to_string(size),
            std::to_string(value_->size()));
  }
  return items();
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

double JsonView::number(double least, double most) const {
  const double number = value_->is_number() ? value_->get<double>() : std::numeric_limits<double>::quiet_NaN();
  if (std::isfinite(number) && number >= least && number <= most) return number;
  const auto text = [](double limit) { return nlohmann::json(limit).dump(); };
  std::string rule = "must be a number";
  if (std::isfinite(least))
    rule += std::isfinite(most) ? " from " + text(least) : " >= " + (least == 0 ? "0" : text(least));
  if (std::isfinite(most)) rule += " to " + text(most);
  corrupt(rule, shown(*value_));
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
  throw Error(ErrorKind::corrupt, where(), rule, found, fix_);
}

}  // namespace qcqa
