#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>

namespace qcqa {

/// splitmix64: turns any 64-bit value into a well mixed one. Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014; constants as published by Vigna.
[[nodiscard]] constexpr std::uint64_t splitmix64(std::uint64_t& state) noexcept {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

/// xoshiro256**: Blackman, Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 47(4), 2021, figure 3;
/// seeded by splitmix64 as they advise.
///
/// Ours and not <random>'s, because the distributions and std::shuffle give other numbers with other standard
/// libraries, and a search must give the same result everywhere.
class Rng {
 public:
  using State = std::array<std::uint64_t, 4>;

  /// One stream per (seed, stream): layers and classes search independently of each other and of the thread count.
  Rng(std::uint64_t seed, std::uint64_t stream) noexcept {
    std::uint64_t mix = seed;
    mix = splitmix64(mix) ^ stream;
    for (auto& word : state_) word = splitmix64(mix);
  }
  /// Continues where another generator stood. Not all words may be 0.
  explicit Rng(const State& state) noexcept : state_(state) {}

  [[nodiscard]] const State& state() const noexcept { return state_; }

  std::uint64_t next() noexcept {
    const std::uint64_t result = rotate(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotate(state_[3], 45);
    return result;
  }

  /// Uniform in [0, bound), without bias; bound >= 1. Lemire, "Fast random integer generation in an interval", ACM
  /// TOMACS 29(1), 2019, algorithm 5, on 32-bit words.
  int below(int bound) noexcept {
    const auto range = static_cast<std::uint32_t>(bound);
    std::uint64_t product = (next() >> 32) * range;
    if (static_cast<std::uint32_t>(product) < range) {
      const std::uint32_t threshold = -range % range;
      while (static_cast<std::uint32_t>(product) < threshold) product = (next() >> 32) * range;
    }
    return static_cast<int>(product >> 32);
  }

  /// Uniform in [low, high].
  int between(int low, int high) noexcept { return low + below(high - low + 1); }

  /// True with this probability.
  bool chance(double probability) noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53 < probability; }

  template <class T>
  void shuffle(std::span<T> items) noexcept {
    for (std::size_t i = items.size(); i > 1; --i) {
      std::swap(items[i - 1], items[static_cast<std::size_t>(below(static_cast<int>(i)))]);
    }
  }

 private:
  static constexpr std::uint64_t rotate(std::uint64_t x, int k) noexcept { return (x << k) | (x >> (64 - k)); }

  State state_{};
};

}  // namespace qcqa
