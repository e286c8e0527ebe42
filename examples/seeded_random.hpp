#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace qcqa::examples {

/// Random numbers that are the same with every standard library: the engine is fixed by the C++
/// standard, the distributions are not, so the few that are needed stand here.
class SeededRandom {
 public:
  explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}

  /// Uniform in [0, bound), bound > 0; draws that would favour small values are thrown away.
  [[nodiscard]] std::size_t below(std::size_t bound) {
    const std::uint64_t limit = std::mt19937_64::max() - std::mt19937_64::max() % bound;
    std::uint64_t draw = engine_();
    while (draw >= limit) draw = engine_();
    return static_cast<std::size_t>(draw % bound);
  }

  /// Uniform in [low, high].
  [[nodiscard]] std::size_t between(std::size_t low, std::size_t high) { return low + below(high - low + 1); }

  template <typename T, std::size_t N>
  [[nodiscard]] const T& pick(const std::array<T, N>& choices) {
    return choices[below(N)];
  }

  template <typename T>
  [[nodiscard]] const T& pick(const std::vector<T>& choices) {
    return choices[below(choices.size())];
  }

  /// `count` different members of `choices`, in random order.
  template <typename T, std::size_t N>
  [[nodiscard]] std::vector<T> sample(const std::array<T, N>& choices, std::size_t count) {
    std::vector<T> pool(choices.begin(), choices.end());
    shuffle(pool);
    pool.resize(count);
    return pool;
  }

  template <typename T>
  void shuffle(std::vector<T>& values) {
    for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace qcqa::examples
