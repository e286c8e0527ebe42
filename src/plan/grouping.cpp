#include "qcqa/plan/grouping.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <string>

#include "qcqa/support/error.hpp"
#include "qcqa/support/limits.hpp"

namespace qcqa {
namespace {

void require_head_count(std::size_t heads) {
  if (heads < 1 || heads > static_cast<std::size_t>(kMaxKvHeads)) {
    throw Error(ErrorKind::invalid_argument, "grouping",
                "must label between 1 and " + std::to_string(kMaxKvHeads) + " heads", std::to_string(heads));
  }
}

}  // namespace

std::string_view cardinality_name(Cardinality c) noexcept {
  switch (c) {
    case Cardinality::arbitrary:
      return "arbitrary";
    case Cardinality::equal:
      return "equal";
    case Cardinality::contiguous:
      return "contiguous";
  }
  return "?";
}

Grouping Grouping::from_labels(std::span<const int> labels) {
  require_head_count(labels.size());
  Grouping result;
  result.labels_.reserve(labels.size());
  std::map<int, std::uint8_t> canonical;
  for (const int label : labels) {
    const auto next = static_cast<std::uint8_t>(canonical.size());
    result.labels_.push_back(canonical.try_emplace(label, next).first->second);
  }
  result.groups_ = static_cast<int>(canonical.size());
  return result;
}

Grouping Grouping::identity(int heads) { return contiguous(heads, heads); }

Grouping Grouping::contiguous(int heads, int groups) {
  require_head_count(heads < 0 ? 0 : static_cast<std::size_t>(heads));
  if (groups < 1 || heads % groups != 0) {
    throw Error(ErrorKind::invalid_argument, "groups", "must divide the " + std::to_string(heads) + " heads",
                std::to_string(groups));
  }
  Grouping result;
  result.groups_ = groups;
  for (int h = 0; h < heads; ++h) result.labels_.push_back(static_cast<std::uint8_t>(h / (heads / groups)));
  return result;
}

std::vector<std::vector<std::uint8_t>> Grouping::members() const {
  std::vector<std::vector<std::uint8_t>> result(static_cast<std::size_t>(groups_));
  for (std::size_t h = 0; h < labels_.size(); ++h) result[labels_[h]].push_back(static_cast<std::uint8_t>(h));
  return result;
}

std::vector<int> Grouping::sizes() const {
  std::vector<int> result(static_cast<std::size_t>(groups_));
  for (const auto label : labels_) ++result[label];
  return result;
}

bool Grouping::has_equal_groups() const {
  const auto all = sizes();
  return std::adjacent_find(all.begin(), all.end(), std::not_equal_to<>()) == all.end();
}

Cardinality Grouping::cardinality() const {
  if (!has_equal_groups()) return Cardinality::arbitrary;
  return std::is_sorted(labels_.begin(), labels_.end()) ? Cardinality::contiguous : Cardinality::equal;
}

}  // namespace qcqa
