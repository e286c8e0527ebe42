// How long one candidate grouping takes to score: the step a search repeats.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "qcqa/fitness/pairwise_cost.hpp"
#include "qcqa/plan/grouping.hpp"

namespace {

qcqa::PairwiseCost random_cost(int heads) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> distance(1.0, 2.0);
  const auto n = static_cast<std::size_t>(heads);
  std::vector<double> k(n * n), v(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      k[i * n + j] = k[j * n + i] = distance(random);
      v[i * n + j] = v[j * n + i] = distance(random);
    }
  }
  return {heads, std::move(k), std::move(v)};
}

/// Many different candidates, so that no branch predictor learns one by heart.
std::vector<qcqa::Grouping> random_groupings(int heads, int groups) {
  std::mt19937 random(2);
  std::uniform_int_distribution<int> label(0, groups - 1);
  std::vector<qcqa::Grouping> groupings;
  std::vector<int> labels(static_cast<std::size_t>(heads));
  for (int i = 0; i < 1024; ++i) {
    for (int& one : labels) one = label(random);
    groupings.push_back(qcqa::Grouping::from_labels(labels));
  }
  return groupings;
}

/// Arguments: KV heads, groups.
void wse_of_one_candidate(benchmark::State& state) {
  const int heads = static_cast<int>(state.range(0));
  const auto cost = random_cost(heads);
  const auto groupings = random_groupings(heads, static_cast<int>(state.range(1)));
  std::size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(qcqa::grouping_cost(cost, groupings[next]));
    next = (next + 1) % groupings.size();
  }
}
BENCHMARK(wse_of_one_candidate)->Args({8, 4})->Args({32, 2})->Args({32, 8})->Args({32, 16})->Args({64, 16});

}  // namespace
