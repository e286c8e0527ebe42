#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace qcqa {

/// A hash table from pairs of 32-bit numbers, with open addressing: the innermost loop of byte-pair encoding asks it
/// for every pair of neighbours, and std::unordered_map costs a cache miss more each time.
template <typename Value>
class PairTable {
 public:
  void reserve(std::size_t count) {
    std::size_t slots = 16;
    while (slots < 2 * count) slots *= 2;
    if (slots > slots_.size()) rehash(slots);
  }

  /// The last value of a pair counts.
  void assign(std::uint32_t left, std::uint32_t right, const Value& value) {
    reserve(size_ + 1);
    Slot& slot = slots_[place(key(left, right))];
    if (slot.key == kFree) ++size_;
    slot = {key(left, right), value};
  }

  [[nodiscard]] const Value* find(std::uint32_t left, std::uint32_t right) const {
    if (size_ == 0) return nullptr;
    const Slot& slot = slots_[place(key(left, right))];
    return slot.key == kFree ? nullptr : &slot.value;
  }

 private:
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};  // neither ids nor code points get that large

  struct Slot {
    std::uint64_t key = kFree;
    Value value{};
  };

  static std::uint64_t key(std::uint32_t left, std::uint32_t right) { return (std::uint64_t{left} << 32) | right; }

  /// Where the pair is, or would be.
  [[nodiscard]] std::size_t place(std::uint64_t wanted) const {
    std::uint64_t hash = wanted * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
    std::size_t at = hash & (slots_.size() - 1);
    while (slots_[at].key != kFree && slots_[at].key != wanted) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  void rehash(std::size_t slots) {
    std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots));
    for (Slot& slot : old) {
      if (slot.key != kFree) slots_[place(slot.key)] = std::move(slot);
    }
  }

  std::vector<Slot> slots_;  // a power of two of them, at least half of them free
  std::size_t size_ = 0;
};

}  // namespace qcqa
