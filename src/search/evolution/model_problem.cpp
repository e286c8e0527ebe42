#include "search/evolution/model_problem.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace qcqa {
namespace {

constexpr double kAnotherLayer = 0.5;  // chance that a mutation changes one more layer
constexpr double kUniformCrossover = 0.5;
constexpr double kBestTrade = 0.3;  // chance that a trade looks for the best giver too
constexpr int kFarthestStep = 3;    // options a single step may pass

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
      const auto above =
          std::find_if(layer.begin(), layer.end(), [&](const LayerOption& o) { return o.groups >= groups; });
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
  if (rng.chance(kUniformCrossover)) {
    for (std::size_t l = 0; l < a.size(); ++l) child[l] = rng.chance(0.5) ? a[l] : b[l];
    return;
  }
  const int share = rng.between(0, 1000);
  for (std::size_t l = 0; l < a.size(); ++l) {
    child[l] = static_cast<std::uint8_t>((a[l] * (1000 - share) + b[l] * share + rng.below(1000)) / 1000);
  }
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
  } while (rng.chance(kAnotherLayer));
}

void ModelProblem::step(Rng& rng, Genome& genome) {
  const auto l = static_cast<std::size_t>(rng.below(static_cast<int>(genome.size())));
  const int distance = rng.between(1, kFarthestStep) * (rng.chance(0.5) ? 1 : -1);
  genome[l] = static_cast<std::uint8_t>(std::clamp(genome[l] + distance, 0, last_option(l)));
}

void ModelProblem::best_step(Rng& rng, Genome& genome) {
  const int owed = rng.chance(0.5) ? 1 : -1;
  Move best;
  for (std::size_t l = 0; l < genome.size(); ++l) {
    const Move move = move_of(l, genome[l], owed);
    if (move.change < best.change) best = move;
  }
  if (best.to >= 0) genome[best.layer] = static_cast<std::uint8_t>(best.to);
}

// The change of cost per group when layer l gives up (or, negative, takes) `owed` groups, and the option that does it:
// where none makes up the difference exactly, the next one.
ModelProblem::Move ModelProblem::move_of(std::size_t l, int index, int owed) const noexcept {
  const int here = option(l, index).groups;
  const int direction = owed > 0 ? -1 : 1;
  int to = index;
  while (to + direction >= 0 && to + direction <= last_option(l) &&
         std::abs(option(l, to).groups - here) < std::abs(owed)) {
    to += direction;
  }
  if (to == index) return {};
  const int groups = std::abs(option(l, to).groups - here);
  return {.layer = l, .to = to, .change = (option(l, to).cost - option(l, index).cost) / groups};
}

void ModelProblem::trade(Rng& rng, Genome& genome) {
  const auto layers = static_cast<int>(genome.size());
  const int owed = rng.between(1, kFarthestStep) * (rng.chance(0.5) ? 1 : -1);
  const auto best_move = [&](int groups, std::size_t except) {
    Move best;
    for (std::size_t l = 0; l < genome.size(); ++l) {
      if (l == except) continue;
      const Move move = move_of(l, genome[l], groups);
      if (move.change < best.change) best = move;
    }
    return best;
  };
  const auto random_layer = static_cast<std::size_t>(rng.below(layers));
  const Move first =
      rng.chance(kBestTrade) ? best_move(owed, genome.size()) : move_of(random_layer, genome[random_layer], owed);
  if (first.to < 0) return;
  const int given = option(first.layer, genome[first.layer]).groups - option(first.layer, first.to).groups;
  const Move second = best_move(-given, first.layer);
  if (second.to < 0) return;
  genome[first.layer] = static_cast<std::uint8_t>(first.to);
  genome[second.layer] = static_cast<std::uint8_t>(second.to);
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
