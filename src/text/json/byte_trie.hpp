#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace qcqa {

/// Strings with a number each, to be found at the beginning of a text.
class ByteTrie {
 public:
  static constexpr std::int32_t kNone = -1;

  /// Returns false, and changes nothing, when `text` is there already. @param value  not negative
  bool insert(std::string_view text, std::int32_t value);

  /// Calls `visit(length, value)` for every string that `text` has at `at`, shortest first.
  template <typename Visit>
  void for_each_prefix(std::string_view text, std::size_t at, Visit&& visit) const {
    if (at >= text.size()) return;
    std::uint32_t node = roots_[static_cast<unsigned char>(text[at])];
    for (std::size_t end = at + 1; node != 0; ++end) {
      if (values_[node] != kNone) visit(end - at, values_[node]);
      if (end == text.size()) return;
      node = child(node, static_cast<unsigned char>(text[end]));
    }
  }

  struct Match {
    std::size_t length = 0;
    std::int32_t value = kNone;
  };
  /// The longest string that `text` has at `at`; length 0 without one.
  [[nodiscard]] Match longest(std::string_view text, std::size_t at) const {
    Match match;
    for_each_prefix(text, at, [&](std::size_t length, std::int32_t value) { match = {length, value}; });
    return match;
  }

 private:
  [[nodiscard]] std::uint32_t child(std::uint32_t node, unsigned char byte) const {
    const auto found = children_.find((std::uint64_t{node} << 8) | byte);
    return found == children_.end() ? 0 : found->second;
  }
  std::uint32_t new_node();

  std::array<std::uint32_t, 256> roots_{};  // most places of a text are decided here; 0: nothing begins so
  std::unordered_map<std::uint64_t, std::uint32_t> children_;
  std::vector<std::int32_t> values_{kNone};  // node 0 stands for none
};

}  // namespace qcqa
