#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "search/evolution/nsga2_engine.hpp"
#include "search/saved_json.hpp"

namespace qcqa {

/// A problem and the run of NSGA-II on it: what is advanced by generations, saved and restored.
template <Nsga2Problem Problem>
class Evolution {
 public:
  Evolution(Problem problem, const Nsga2Options& options, const Rng& rng)
      : options_(options), problem_(std::move(problem)), engine_(options, rng) {}

  [[nodiscard]] const Problem& problem() const noexcept { return problem_; }
  [[nodiscard]] bool started() const noexcept { return engine_.started(); }
  [[nodiscard]] bool finished() const noexcept { return engine_.finished(); }
  [[nodiscard]] int generation() const noexcept { return engine_.generation(); }

  /// Makes the initial population.
  /// @param more  further seeds, members of the problem's space, after the problem's own
  void start(std::span<const typename Problem::Genome> more = {}) {
    auto seeds = problem_.seeds();
    seeds.insert(seeds.end(), more.begin(), more.end());
    engine_.start(problem_, seeds);
  }
  /// One generation.
  void step() { engine_.step(problem_); }

  /// Null before the start. Costs are not saved: they follow from the genomes, and what is not in the file cannot lie.
  [[nodiscard]] nlohmann::json save() const {
    if (!started()) return nullptr;
    nlohmann::json population = nlohmann::json::array(), archive = nlohmann::json::array();
    for (const auto& genome : engine_.population()) population.push_back(problem_.encode(genome));
    for (const auto& best : problem_.archive()) {
      if (best.cost < kNone) archive.push_back(problem_.encode(best.genome));
    }
    nlohmann::json rng = nlohmann::json::array();
    for (const auto word : engine_.rng().state()) rng.push_back(word);
    return {{"generation", generation()},
            {"rng", std::move(rng)},
            {"evaluations", problem_.evaluations()},
            {"population", std::move(population)},
            {"archive", std::move(archive)}};
  }

  /// Takes up a saved state; this must not have been started.
  /// @throws Error(corrupt), leaving this in an unspecified state
  void restore(const JsonView& saved) {
    const auto generation = static_cast<int>(saved.at("generation").integer(0, options_.generations));
    const auto evaluations = saved.at("evaluations").integer(0, std::int64_t{1} << 62);
    Rng::State words{};
    read_words(saved.at("rng"), words);
    if (words == Rng::State{}) saved.at("rng").corrupt("must not be all zeros");
    for (const auto& genome : genomes(saved.at("archive"), problem_.archive().size())) problem_.evaluate(genome);
    const auto population = genomes(saved.at("population"), static_cast<std::size_t>(options_.population));
    if (population.empty()) saved.at("population").corrupt("must not be empty");
    engine_.restore(problem_, generation, Rng(words), population);
    if (engine_.population().size() != population.size()) {
      saved.at("population").corrupt("must not hold an individual twice");
    }
    problem_.set_evaluations(evaluations);
  }

 private:
  static constexpr double kNone = std::numeric_limits<double>::infinity();

  std::vector<typename Problem::Genome> genomes(const JsonView& rows, std::size_t most) const {
    std::vector<typename Problem::Genome> result;
    for (const auto& bytes : read_byte_rows(rows, most)) {
      auto genome = problem_.decode(bytes);
      if (!genome) rows.corrupt("must hold canonical genomes of this search");
      result.push_back(std::move(*genome));
    }
    return result;
  }

  Nsga2Options options_;
  Problem problem_;
  Nsga2Engine<Problem> engine_;
};

}  // namespace qcqa
