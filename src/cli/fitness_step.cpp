#include "cli/fitness_step.hpp"

#include <array>

#include "cli/choice.hpp"
#include "qcqa/export/export.hpp"
#include "qcqa/fitness/head_gram.hpp"
#include "qcqa/fitness/measured_costs.hpp"
#include "qcqa/fitness/sharing_costs.hpp"
#include "qcqa/merge/merge.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa::cli {
namespace {

constexpr std::array<Choice<std::optional<Fitness>>, 5> kFitness = {{
    {"auto", std::nullopt, "what the chosen merge loses; in search, wse"},
    {"wse", Fitness::wse, "squared error of mean-pooled weights, as the paper"},
    {"aligned", Fitness::aligned, "output error of the aligned merge"},
    {"subspace", Fitness::subspace, "output error of the subspace merge; better with --calibrate"},
    {"measured", Fitness::measured,
     "as subspace, but between layers the rise of the cross-entropy when one alone is merged; needs --calibrate"},
}};

std::span<const Choice<std::optional<Fitness>>> choices() { return kFitness; }

Fitness fitness_of(MergeKind merge) {
  switch (merge) {
    case MergeKind::aligned:
      return Fitness::aligned;
    case MergeKind::subspace:
    case MergeKind::reconstruct:
      return Fitness::subspace;
    default:
      return Fitness::wse;
  }
}

std::unique_ptr<GroupCost> weight_sharing_error(const AttentionLayer& layer, const Device& device) {
  auto cost = std::make_unique<PairwiseCost>(wse_cost(compute_head_gram(layer, device)));
  // Mapped pages count as this process's memory until they are let go.
  for (const auto* heads : {&layer.key, &layer.value}) {
    for (const HeadRows& head : *heads) Checkpoint::done_with(head.weight.pages());
  }
  return cost;
}

/// Measures only once it is asked, and keeps nothing when all layers are judged.
LayerJudge measuring_judge(const Model& model, const TokenSequences& calibration, const ForwardOptions& forward,
                           const ProgressFn& progress) {
  const auto costs = std::make_shared<std::optional<MeasuredCosts>>();
  return [=, &model, &calibration](int layer, std::span<const Grouping> groupings) {
    if (!*costs) costs->emplace(model, calibration.all(), forward, progress);
    std::vector<double> result = (*costs)->measure(layer, groupings);
    if (layer + 1 == static_cast<int>(model.layers().size())) costs->reset();
    return result;
  };
}

}  // namespace

std::string_view fitness_name(Fitness fitness) {
  for (const auto& choice : kFitness) {
    if (choice.value == fitness) return choice.name;
  }
  return "?";
}

std::string fitness_unit(Fitness fitness, bool calibrated) {
  if (fitness == Fitness::wse) return "sum of squared errors of the weights";
  if (fitness == Fitness::measured)
    return "sum over layers of the rise of the cross-entropy when one alone is merged, nats per token";
  return calibrated ? "squared error of the attention output, as a share of the residual stream's square"
                    : "squared error of the attention output for inputs of any direction";
}

void FitnessFlags::add_to(CLI::App& command) {
  command.add_option("--fitness", fitness, "What the search minimises: " + describe_choices(choices()))
      ->group("Search")
      ->capture_default_str();
}

Fitness FitnessFlags::resolve(std::optional<MergeKind> merge) const {
  if (const auto chosen = parse_choice(choices(), fitness, "--fitness")) return *chosen;
  return merge ? fitness_of(*merge) : Fitness::wse;
}

void require_use_of(const CalibrationFlags& calibration, std::optional<MergeKind> merge, Fitness fitness) {
  if (fitness == Fitness::measured && !calibration.given()) {
    throw Error(ErrorKind::invalid_argument, "--fitness measured", "needs --calibrate", "none",
                "Add --calibrate self, or --calibrate with a text.");
  }
  if (!calibration.given() || fitness != Fitness::wse || (merge && uses_calibration(*merge))) return;
  const std::string found = merge ? "--merge " + std::string(merge_kind_name(*merge)) + " and " : "";
  throw Error(ErrorKind::invalid_argument, "--calibrate",
              merge
                  ? "is for --merge aligned, subspace and reconstruct, and for --fitness aligned, subspace and measured"
                  : "is for --fitness aligned, subspace and measured",
              found + "--fitness " + std::string(fitness_name(fitness)));
}

std::vector<const GroupCost*> LayerCosts::pointers() const {
  std::vector<const GroupCost*> pointers;
  for (const auto& cost : costs) pointers.push_back(cost.get());
  return pointers;
}

LayerCosts compute_costs(const Model& model, Fitness fitness, const TokenSequences& calibration,
                         const ForwardOptions& forward, const Device& device, Console& console) {
  require_unconverted(model);
  const double start = console.seconds();
  const ProgressFn progress = console.progress();
  LayerCosts result;
  result.fitness = fitness;
  if (fitness == Fitness::wse) {
    for (const AttentionLayer& layer : model.layers()) {
      result.costs.push_back(weight_sharing_error(layer, device));
      if (!progress({"fitness", layer.layer + 1, static_cast<std::int64_t>(model.layers().size())})) {
        throw Error(ErrorKind::interrupted, model.path().string(), "interrupted before the search began");
      }
    }
  } else {
    result.calibrated = !calibration.empty();
    const MergeKind kind = fitness == Fitness::aligned ? MergeKind::aligned : MergeKind::subspace;
    result.costs = sharing_costs(model, kind, calibration.all(), forward, progress);
  }
  if (fitness == Fitness::measured) {
    result.judge = measuring_judge(model, calibration, forward, progress);
  }
  result.seconds = console.seconds() - start;
  console.detail("fitness tables: " + std::to_string(result.seconds) + " s");
  return result;
}

}  // namespace qcqa::cli
