#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "qcqa/search/nsga2.hpp"
#include "search/evolution/pareto_sorter.hpp"
#include "search/rng.hpp"

namespace qcqa {

/// What NSGA-II has to know of a problem. Genomes are canonical: equal genomes are equal solutions.
template <class P>
concept Nsga2Problem = std::copyable<typename P::Genome> && std::equality_comparable<typename P::Genome> &&
    requires(P problem, Rng& rng, typename P::Genome& out, const typename P::Genome& in) {
  problem.random(rng, out);
  problem.crossover(rng, in, in, out);
  problem.mutate(rng, out);
  { problem.hash(in) } -> std::same_as<std::uint64_t>;
  { problem.evaluate(in) } -> std::same_as<Objectives>;
};

/// NSGA-II: Deb, Pratap, Agarwal, Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEC
/// 6(2), 2002. One step() is one generation of its main loop (section III-C): binary tournaments with the
/// crowded-comparison operator choose parents, children join the parents, and the best half survives, front by front
/// and within the last front by crowding distance.
///
/// Where we leave the paper: a child equal to a living individual is never added (equal genomes would fill the discrete
/// fronts here with copies); the population may therefore be smaller than asked for where few solutions exist. Crowding
/// is taken anew among the survivors, so that (genomes, RNG, generation) are the whole state.
template <Nsga2Problem Problem>
class Nsga2Engine {
 public:
  using Genome = typename Problem::Genome;

  Nsga2Engine(const Nsga2Options& options, const Rng& rng) : options_(options), rng_(rng) {}

  [[nodiscard]] bool started() const noexcept { return !pool_.empty(); }
  [[nodiscard]] bool finished() const noexcept { return started() && generation_ >= options_.generations; }
  [[nodiscard]] int generation() const noexcept { return generation_; }
  [[nodiscard]] const Rng& rng() const noexcept { return rng_; }
  [[nodiscard]] std::span<const Genome> population() const noexcept { return pool_; }

  /// The initial population: the seeds, then random genomes.
  void start(Problem& problem, std::span<const Genome> seeds = {}) {
    const auto target = static_cast<std::size_t>(options_.population);
    clear();
    for (const auto& seed : seeds) {
      if (pool_.size() < target) add_if_new(problem, seed);
    }
    Genome genome{};
    for (int failures = 0; pool_.size() < target && failures < kMaxFailures;) {
      problem.random(rng_, genome);
      failures = add_if_new(problem, genome) ? 0 : failures + 1;
    }
    sorter_.sort(objectives_);
  }

  /// One generation.
  void step(Problem& problem) {
    const std::size_t parents = pool_.size();
    const std::size_t target = parents + static_cast<std::size_t>(options_.population);
    Genome child{};
    for (int failures = 0; pool_.size() < target && failures < kMaxFailures;) {
      breed(problem, parents, child);
      bool added = add_if_new(problem, child);
      // A copy is no use to anyone: change it until it is new.
      for (int retry = 0; !added && retry < kMutationRetries; ++retry) {
        problem.mutate(rng_, child);
        added = add_if_new(problem, child);
      }
      failures = added ? 0 : failures + 1;
    }
    select();
    ++generation_;
  }

  /// Takes up a saved state. The genomes must be valid for the problem.
  void restore(Problem& problem, int generation, const Rng& rng, std::span<const Genome> population) {
    clear();
    for (const auto& genome : population) add_if_new(problem, genome);
    generation_ = generation;
    rng_ = rng;
    sorter_.sort(objectives_);
  }

 private:
  // Where the space is nearly exhausted new genomes get rare; then a generation ends early.
  static constexpr int kMaxFailures = 16;
  static constexpr int kMutationRetries = 2;

  std::size_t tournament(std::size_t parents) {
    const auto a = static_cast<std::size_t>(rng_.below(static_cast<int>(parents)));
    const auto b = static_cast<std::size_t>(rng_.below(static_cast<int>(parents)));
    return sorter_.precedes(b, a) ? b : a;
  }

  void breed(Problem& problem, std::size_t parents, Genome& child) {
    const std::size_t a = tournament(parents);
    const std::size_t b = tournament(parents);
    if (a != b && rng_.chance(options_.crossover_probability)) {
      problem.crossover(rng_, pool_[a], pool_[b], child);
    } else {
      child = pool_[a];
    }
    if (rng_.chance(options_.mutation_probability)) problem.mutate(rng_, child);
  }

  bool add_if_new(Problem& problem, const Genome& genome) {
    const std::size_t mask = table_.size() - 1;
    const std::uint64_t hash = problem.hash(genome);
    std::size_t slot = static_cast<std::size_t>(hash) & mask;
    for (; table_[slot] != 0; slot = (slot + 1) & mask) {
      if (pool_[table_[slot] - 1] == genome) return false;
    }
    pool_.push_back(genome);
    objectives_.push_back(problem.evaluate(genome));
    hashes_.push_back(hash);
    table_[slot] = static_cast<std::uint32_t>(pool_.size());
    return true;
  }

  // Environmental selection: the best `population` of parents and children.
  void select() {
    sorter_.sort(objectives_);
    order_.resize(pool_.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
      if (sorter_.precedes(a, b)) return true;
      if (sorter_.precedes(b, a)) return false;
      return a < b;  // parents before children; makes the order total
    });
    order_.resize(std::min(order_.size(), static_cast<std::size_t>(options_.population)));
    next_pool_.clear();
    next_objectives_.clear();
    next_hashes_.clear();
    for (const std::size_t i : order_) {
      next_pool_.push_back(std::move(pool_[i]));
      next_objectives_.push_back(objectives_[i]);
      next_hashes_.push_back(hashes_[i]);
    }
    pool_.swap(next_pool_);
    objectives_.swap(next_objectives_);
    hashes_.swap(next_hashes_);
    std::fill(table_.begin(), table_.end(), 0u);
    const std::size_t mask = table_.size() - 1;
    for (std::size_t i = 0; i < pool_.size(); ++i) {
      std::size_t slot = static_cast<std::size_t>(hashes_[i]) & mask;
      while (table_[slot] != 0) slot = (slot + 1) & mask;
      table_[slot] = static_cast<std::uint32_t>(i + 1);
    }
    sorter_.sort(objectives_);
  }

  void clear() {
    pool_.clear();
    objectives_.clear();
    hashes_.clear();
    std::size_t slots = 16;
    while (slots < 4 * static_cast<std::size_t>(options_.population)) slots *= 2;
    table_.assign(slots, 0u);
    generation_ = 0;
  }

  Nsga2Options options_;
  Rng rng_;
  int generation_ = 0;
  std::vector<Genome> pool_, next_pool_;  // the population; during a step, the children behind it
  std::vector<Objectives> objectives_, next_objectives_;
  std::vector<std::uint64_t> hashes_, next_hashes_;
  std::vector<std::uint32_t> table_;  // open addressing over pool_: index + 1, 0 = free; at most half full
  std::vector<std::size_t> order_;
  ParetoSorter sorter_;
};

}  // namespace qcqa
