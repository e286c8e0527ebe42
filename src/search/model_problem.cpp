#include "search/model_problem.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace qcqa {
namespace {

constexpr double kAnotherMove = 0.5;  // chance of one more move in a mutation
constexpr int kFarthestStep = 3;      // options a single step may pass

}  // namespace

ModelProblem::ModelProblem(std::vector<std::vector<LayerOption>> options) : options_(std::move(options)) {
  std::size_t most = 0;
  for (const auto& layer : options_) most += static_cast<std::size_t>(layer.back().groups);
  archive_.resize(most + 1);
}

std::optional<ModelProblem::Genome> ModelProblem::decode(std::span<const std::uint8_t> bytes) const {
  if (bytes.size() != options_.size()) return std::nullopt;
  for (std::size_t l = 0; l < bytes.size(); ++l) {
    if (bytes[l] > last_option(l)) return std::nullopt;
  }
  return Genome(bytes.begin(), bytes.end());
}

std::vector<ModelProblem::Genome> ModelProblem::seeds() const {
  std::set<int> counts;
  for (const auto& layer : options_) {
    for (const auto& o : layer) counts.insert(o.groups);
  }
  std::vector<Genome> result;
  for (const int groups : counts) {
    Genome seed;
    for (const auto& layer : options_) {
      const auto above = std::find_if(layer.begin(), layer.end(), [&](const LayerOption& o) { return o.groups >= groups; });
      seed.push_back(static_cast<std::uint8_t>(above == layer.end() ? layer.size() - 1
                                                                    : static_cast<std::size_t>(above - layer.begin())));
    }
    result.push_back(std::move(seed));
  }
  return result;
}

// Around a random level that all layers share: independent layers would all come out near half the size.
void ModelProblem::random(Rng& rng, Genome& out) {
  out.resize(options_.size());
  const int level = rng.between(0, 1000), spread = rng.between(0, 500);
  for (std::size_t l = 0; l < out.size(); ++l) {
    const int own = std::clamp(level + rng.between(-spread, spread), 0, 1000);
    out[l] = static_cast<std::uint8_t>((last_option(l) * own + 500) / 1000);
  }
}

void ModelProblem::crossover(Rng& rng, const Genome& a, const Genome& b, Genome& child) {
  child.resize(a.size());
  for (std::size_t l = 0; l < a.size(); ++l) child[l] = rng.chance(0.5) ? a[l] : b[l];
}

void ModelProblem::mutate(Rng& rng, Genome& genome) {
  do {
    const int kind = rng.below(10);
    if (kind < 2) {
      step(rng, genome);
    } else if (kind < 5) {
      best_step(rng, genome);
    } else {
      trade(rng, genome);
    }
  } while (rng.chance(kAnotherMove));
}

void ModelProblem::step(Rng& rng, Genome& genome) {
  const auto l = static_cast<std::size_t>(rng.below(static_cast<int>(genome.size())));
  const int distance = rng.between(1, kFarthestStep) * (rng.chance(0.5) ? 1 : -1);
  genome[l] = static_cast<std::uint8_t>(std::clamp(genome[l] + distance, 0, last_option(l)));
}

void ModelProblem::best_step(Rng& rng, Genome& genome) {
  const int direction = rng.chance(0.5) ? 1 : -1;
  std::size_t best = genome.size();
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t l = 0; l < genome.size(); ++l) {
    const int to = genome[l] + direction;
    if (to < 0 || to > last_option(l)) continue;
    const LayerOption& here = option(l, genome[l]);
    const LayerOption& there = option(l, to);
    // Cost per group, since a step may be worth several.
    const double change = (there.cost - here.cost) / std::abs(there.groups - here.groups);
    if (change < least) {
      least = change;
      best = l;
    }
  }
  if (best < genome.size()) genome[best] = static_cast<std::uint8_t>(genome[best] + direction);
}

void ModelProblem::trade(Rng& rng, Genome& genome) {
  const auto first = static_cast<std::size_t>(rng.below(static_cast<int>(genome.size())));
  const int distance = rng.between(1, kFarthestStep) * (rng.chance(0.5) ? 1 : -1);
  const int to = std::clamp(genome[first] + distance, 0, last_option(first));
  const int owed = option(first, genome[first]).groups - option(first, to).groups;
  if (owed == 0) return;
  // The partner for which the exchange is best. Where no option makes up the difference exactly, the next one does.
  std::size_t partner = genome.size();
  int partner_to = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t l = 0; l < genome.size(); ++l) {
    if (l == first) continue;
    const LayerOption& here = option(l, genome[l]);
    int index = genome[l];
    const int step = owed > 0 ? 1 : -1;
    while (index + step >= 0 && index + step <= last_option(l) && std::abs(option(l, index).groups - here.groups) < std::abs(owed)) {
      index += step;
    }
    if (index == genome[l]) continue;
    const LayerOption& there = option(l, index);
    const double change = (there.cost - here.cost) / std::abs(there.groups - here.groups);
    if (change < least) {
      least = change;
      partner = l;
      partner_to = index;
    }
  }
  if (partner == genome.size()) return;
  genome[first] = static_cast<std::uint8_t>(to);
  genome[partner] = static_cast<std::uint8_t>(partner_to);
}

std::uint64_t ModelProblem::hash(const Genome& genome) const noexcept {
  std::uint64_t state = genome.size();
  for (const auto choice : genome) {
    state ^= choice;
    state = splitmix64(state);
  }
  return state;
}

Objectives ModelProblem::evaluate(const Genome& genome) {
  ++evaluations_;
  int groups = 0;
  double cost = 0;
  for (std::size_t l = 0; l < genome.size(); ++l) {
    const LayerOption& o = option(l, genome[l]);
    groups += o.groups;
    cost += o.cost;
  }
  Best& best = archive_[static_cast<std::size_t>(groups)];
  if (cost < best.cost || (cost == best.cost && genome < best.genome)) best = {.cost = cost, .genome = genome};
  return {static_cast<double>(groups), cost};
}

}  // namespace qcqa
