#include "text/json/byte_trie.hpp"

namespace qcqa {

std::uint32_t ByteTrie::new_node() {
  values_.push_back(kNone);
  return static_cast<std::uint32_t>(values_.size() - 1);
}

bool ByteTrie::insert(std::string_view text, std::int32_t value) {
  if (text.empty()) return false;
  std::uint32_t& root = roots_[static_cast<unsigned char>(text[0])];
  if (root == 0) root = new_node();
  std::uint32_t node = root;
  for (const char c : text.substr(1)) {
    const auto [entry, is_new] = children_.try_emplace((std::uint64_t{node} << 8) | static_cast<unsigned char>(c), 0);
    if (is_new) entry->second = new_node();
    node = entry->second;
  }
  if (values_[node] != kNone) return false;
  values_[node] = value;
  return true;
}

}  // namespace qcqa
