// One layer's NSGA-II, ours and pagmo2's (Biscani, Izzo, "A parallel global multiobjective framework for optimization:
// pagmo", JOSS 5(53), 2020), with the same population, generations and fitness, on one thread; and the proven fronts.
// compare_nsga2.py calls it, adds pymoo's, and makes the table.
//
//   qcqa_nsga2_bench FILE_OF_DISTANCES|MODEL POPULATION GENERATIONS SEED...
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <pagmo/algorithm.hpp>
#include <pagmo/algorithms/nsga2.hpp>
#include <pagmo/population.hpp>
#include <pagmo/problem.hpp>

#include "qcqa/fitness/distance_file.hpp"
#include "qcqa/fitness/head_gram.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/search/model_search.hpp"

namespace {

constexpr double kNone = std::numeric_limits<double>::infinity();

/// The least cost seen by number of groups.
using Archive = std::vector<double>;

/// A head's gene is the number of its group. Objectives: how many numbers are in use, and the cost.
struct LabelProblem {
  const qcqa::PairwiseCost* cost = nullptr;
  std::shared_ptr<Archive> archive;  // pagmo copies problems

  [[nodiscard]] pagmo::vector_double fitness(const pagmo::vector_double& genes) const {
    std::vector<int> labels(genes.begin(), genes.end());
    const auto grouping = qcqa::Grouping::from_labels(labels);
    const double found = qcqa::grouping_cost(*cost, grouping);
    double& best = (*archive)[static_cast<std::size_t>(grouping.groups())];
    best = std::min(best, found);
    return {static_cast<double>(grouping.groups()), found};
  }
  [[nodiscard]] std::pair<pagmo::vector_double, pagmo::vector_double> get_bounds() const {
    const auto heads = static_cast<std::size_t>(cost->heads());
    return {pagmo::vector_double(heads, 0.0), pagmo::vector_double(heads, static_cast<double>(heads - 1))};
  }
  [[nodiscard]] pagmo::vector_double::size_type get_nobj() const { return 2; }
  [[nodiscard]] pagmo::vector_double::size_type get_nix() const {
    return static_cast<pagmo::vector_double::size_type>(cost->heads());
  }
};

struct Settings {
  int population, generations;
};

template <typename Search>
nlohmann::json timed(const Search& search) {
  const auto start = std::chrono::steady_clock::now();
  const Archive best = search();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return {{"seconds", seconds.count()}, {"best", best}};  // JSON writes infinity as null
}

Archive search_with(const qcqa::PairwiseCost& cost, qcqa::Strategy strategy, const Settings& settings, unsigned seed) {
  qcqa::SearchOptions options;
  options.strategy = strategy;
  options.equal = false;
  options.layer.nsga2.population = settings.population;
  options.layer.nsga2.generations = settings.generations;
  options.layer.seed = seed;
  options.model_nsga2.generations = 0;
  options.threads = 1;
  const auto result = qcqa::ModelSearch({&cost}, options).run();
  Archive best(static_cast<std::size_t>(cost.heads()) + 1, kNone);
  for (const auto& entry : result.layers[0].groupings) {
    double& place = best[static_cast<std::size_t>(entry.grouping.groups())];
    place = std::min(place, entry.cost);
  }
  return best;
}

Archive search_with_pagmo(const qcqa::PairwiseCost& cost, const Settings& settings, unsigned seed) {
  auto archive = std::make_shared<Archive>(static_cast<std::size_t>(cost.heads()) + 1, kNone);
  pagmo::population population(pagmo::problem(LabelProblem{&cost, archive}),
                               static_cast<pagmo::population::size_type>(settings.population), seed);
  // Its own defaults but for the chance of mutation, one gene in a child, as is usual for genomes of this length.
  const pagmo::algorithm algorithm(
      pagmo::nsga2(static_cast<unsigned>(settings.generations), 0.95, 10.0, 1.0 / cost.heads(), 50.0, seed));
  (void)algorithm.evolve(population);
  return *archive;
}

std::vector<qcqa::PairwiseCost> read_costs(const std::filesystem::path& path) {
  std::vector<qcqa::PairwiseCost> costs;
  if (std::filesystem::is_directory(path)) {
    const auto model = qcqa::Model::open(path);
    for (const auto& layer : model.layers()) costs.push_back(qcqa::wse_cost(qcqa::compute_head_gram(layer)));
  } else {
    auto file = qcqa::read_distance_file(path);
    for (auto& cost : file.costs) costs.push_back(std::move(cost));
  }
  return costs;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 5) {
    std::fprintf(stderr, "usage: %s FILE_OF_DISTANCES|MODEL POPULATION GENERATIONS SEED...\n", argv[0]);
    return 2;
  }
  const Settings settings{std::stoi(argv[2]), std::stoi(argv[3])};
  nlohmann::json layers = nlohmann::json::array();
  for (const auto& cost : read_costs(argv[1])) {
    nlohmann::json runs = {{"qcqa", nlohmann::json::array()}, {"pagmo2", nlohmann::json::array()}};
    for (int i = 4; i < argc; ++i) {
      const auto seed = static_cast<unsigned>(std::stoul(argv[i]));
      // Shorter searches too: how soon is it as good as others are in the end?
      auto& searches = runs["qcqa"].emplace_back(nlohmann::json::array());
      for (int generations = 0; generations < 2 * settings.generations; generations = std::max(1, 2 * generations)) {
        const Settings shorter{settings.population, std::min(generations, settings.generations)};
        searches.push_back(timed([&] { return search_with(cost, qcqa::Strategy::nsga2, shorter, seed); }));
        searches.back()["generations"] = shorter.generations;
      }
      runs["pagmo2"].push_back(timed([&] { return search_with_pagmo(cost, settings, seed); }));
    }
    layers.push_back({{"heads", cost.heads()},
                      {"distances", std::vector<double>(cost.distances().begin(), cost.distances().end())},
                      {"proven", timed([&] { return search_with(cost, qcqa::Strategy::automatic, settings, 0); })},
                      {"runs", std::move(runs)}});
  }
  std::puts(layers.dump().c_str());
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 2;
}
