#pragma once

#include <mutex>
#include <string_view>
#include <utility>

#include "text/json/string_map.hpp"

namespace qcqa {

/// Remembers what short words became: texts repeat their words, and that is what makes encoding fast. Bounded, and safe
/// to use from several threads.
template <typename Value>
class WordMemory {
 public:
  /// Calls `use(value)` and returns true when the word is known.
  template <typename Use>
  bool recall(std::string_view word, Use&& use) const {
    if (word.size() > kLongestWord) return false;
    const std::lock_guard lock(mutex_);
    const auto known = words_.find(word);
    if (known == words_.end()) return false;
    use(known->second);
    return true;
  }

  void keep(std::string_view word, Value value) {
    if (word.size() > kLongestWord) return;
    const std::lock_guard lock(mutex_);
    if (words_.size() < kMostWords) words_.emplace(word, std::move(value));
  }

 private:
  static constexpr std::size_t kLongestWord = 128;
  static constexpr std::size_t kMostWords = 1 << 16;

  mutable std::mutex mutex_;
  StringMap<Value> words_;
};

}  // namespace qcqa
