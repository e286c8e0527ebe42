#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace qcqa {

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
};

/// A hash map from strings that is asked with views.
template <typename Value>
using StringMap = std::unordered_map<std::string, Value, StringHash, std::equal_to<>>;

}  // namespace qcqa
