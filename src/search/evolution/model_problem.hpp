#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "qcqa/search/nsga2.hpp"
#include "search/rng.hpp"

namespace qcqa {

/// One way to treat a layer.
struct LayerOption {
  int groups = 0;
  double cost = 0;
};

/// Stage 2 of QCQA (arXiv 2406.10247, section 3.3) as a problem for NSGA-II: one option for every layer, minimising
/// (sum of group counts, sum of costs). With two options per layer it is the paper's bit string.
///
/// Genome: index of the option of each layer. Crossover is uniform, as layers contribute independently. Mutation:
/// - step: one layer takes an option nearby;
/// - trade: one layer gives up groups and another takes them, so that the size stays and only the cost changes. The
///   fronts of single layers are nearly convex, and for these trades alone lead to the best choice at a size (Fox,
///   "Discrete optimization via marginal analysis", Management Science 13(3), 1966);
/// - best step: the layer that loses least by going down, or gains most by going up, does.
/// Guided moves look at all layers, which costs about as much as one evaluation.
class ModelProblem {
 public:
  using Genome = std::vector<std::uint8_t>;

  /// The best choice seen with one total number of groups.
  struct Best {
    double cost = std::numeric_limits<double>::infinity();
    Genome genome;  ///< empty while there is none
  };

  /// @param options  per layer 1..256 options, rising in groups and falling in cost
  explicit ModelProblem(std::vector<std::vector<LayerOption>> options);

  [[nodiscard]] const std::vector<std::vector<LayerOption>>& options() const noexcept { return options_; }
  /// The uniform plans (every layer as close to one group count as it can be), the extremes among them.
  [[nodiscard]] std::vector<Genome> seeds() const;

  /// A genome as bytes, and back; nothing unless the bytes choose an option of every layer.
  [[nodiscard]] Genome encode(const Genome& genome) const { return genome; }
  [[nodiscard]] std::optional<Genome> decode(std::span<const std::uint8_t> bytes) const;

  void random(Rng& rng, Genome& out);
  void crossover(Rng& rng, const Genome& a, const Genome& b, Genome& child);
  void mutate(Rng& rng, Genome& genome);
  [[nodiscard]] std::uint64_t hash(const Genome& genome) const noexcept;
  /// Also offers the choice to the archive.
  Objectives evaluate(const Genome& genome);

  /// Indexed by the sum of group counts; of equal costs the lexicographically smaller choice stays.
  [[nodiscard]] const std::vector<Best>& archive() const noexcept { return archive_; }
  [[nodiscard]] std::int64_t evaluations() const noexcept { return evaluations_; }
  void set_evaluations(std::int64_t evaluations) noexcept { evaluations_ = evaluations; }

 private:
  [[nodiscard]] const LayerOption& option(std::size_t layer, int index) const noexcept {
    return options_[layer][static_cast<std::size_t>(index)];
  }
  [[nodiscard]] int last_option(std::size_t layer) const noexcept {
    return static_cast<int>(options_[layer].size()) - 1;
  }
  struct Move {
    std::size_t layer = 0;
    int to = -1;  // option; -1 = no move
    double change = std::numeric_limits<double>::infinity();
  };
  [[nodiscard]] Move move_of(std::size_t l, int index, int owed) const noexcept;
  void step(Rng& rng, Genome& genome);
  void best_step(Rng& rng, Genome& genome);
  void trade(Rng& rng, Genome& genome);

  std::vector<std::vector<LayerOption>> options_;
  std::vector<Best> archive_;
  std::int64_t evaluations_ = 0;
};

}  // namespace qcqa
