#include "cli/merge_step.hpp"

#include <array>
#include <span>

#include "cli/choice.hpp"
#include "cli/flags.hpp"
#include "qcqa/support/error.hpp"
#include "report/text_table.hpp"

namespace qcqa::cli {
namespace {

const std::array<Choice<MergeKind>, 6> kMergeKindChoices = {{
    {merge_kind_name(MergeKind::mean), MergeKind::mean, "mean pooling, as the papers"},
    {merge_kind_name(MergeKind::first), MergeKind::first, "each group's first head"},
    {merge_kind_name(MergeKind::weighted), MergeKind::weighted, "mean weighted by norms"},
    {merge_kind_name(MergeKind::aligned), MergeKind::aligned, "bases aligned, then the mean"},
    {merge_kind_name(MergeKind::subspace), MergeKind::subspace,
     "best shared subspace, the rest folded into queries and output; better with --calibrate"},
    {merge_kind_name(MergeKind::reconstruct), MergeKind::reconstruct,
     "subspace, then each layer fitted to the original's; needs --calibrate"},
}};

constexpr std::array<Choice<ReconstructScope>, 2> kScopes = {{
    {"attention", ReconstructScope::attention, "all else stays byte for byte"},
    {"block", ReconstructScope::block, "MLP and its norms too"},
}};

std::string merge_summary(const MergeSummary& result) {
  std::string text = "merge " + std::string(merge_kind_name(result.kind)) + ": ";
  if (result.calibration_tokens > 0) text += std::to_string(result.calibration_tokens) + " calibration tokens, ";
  text += format_number("%.1f s", result.seconds);
  if (result.keys_pooled) text += "; keys are normalised in this family, so they were pooled by direction";
  for (const MergedLayer& layer : result.layers) {
    text += "\n  layer " + std::to_string(layer.layer) + ": output error " +
            format_number("%.4f", layer.subspace_error) + " (subspace) -> " + format_number("%.4f", layer.refit_error) +
            " (refit) -> " + format_number("%.4f", layer.error) + " (" + std::to_string(layer.steps) + " steps)";
  }
  if (const auto& distillation = result.distillation) {
    text += "\n  all layers: divergence of the predictions " + format_number("%.4f", distillation->before) + " -> " +
            format_number("%.4f", distillation->after) + " nats (distilled, " + std::to_string(distillation->steps) +
            " steps)";
  } else if (result.kind == MergeKind::reconstruct) {
    text += "\n  not distilled: --distill-steps 0, or the layers need more than --memory";
  }
  return text;
}

}  // namespace

void MergeFlags::add_to(CLI::App& command, bool with_auto) {
  const std::string group = "Merge";
  std::string kinds = describe_choices(std::span<const Choice<MergeKind>>(kMergeKindChoices));
  if (with_auto) {
    merge = kAutoMerge;
    kinds = "auto (the best within --time-limit: reconstruct with --calibrate self if it can be), " + kinds;
    command
        .add_option("--time-limit", time_limit, "Longest time that --merge auto may plan for, such as 90s, 30m or 2h")
        ->group(group)
        ->capture_default_str();
  }
  command.add_option("--merge", merge, "How a group's heads become one: " + kinds)->group(group)->capture_default_str();
  calibration.add_to(command);
  command
      .add_option("--reconstruct", reconstruct,
                  "What --merge reconstruct may change: " +
                      describe_choices(std::span<const Choice<ReconstructScope>>(kScopes)))
      ->group(group)
      ->capture_default_str();
  command.add_option("--reconstruct-steps", steps, "Steps of reconstruction per layer")
      ->group(group)
      ->capture_default_str();
  command
      .add_option("--distill-steps", distill_steps,
                  "Steps that then fit all layers together to the original's predictions; none "
                  "where the layers with gradients and moments need more than --memory")
      ->group(group)
      ->capture_default_str();
  command.add_option("--memory", memory, "Memory for calibration activations; more go to a file beside the output")
      ->group(group)
      ->capture_default_str();
}

MergeOptions MergeFlags::resolve(const ForwardOptions& forward) const {
  MergeOptions options;
  options.kind = parse_choice(std::span<const Choice<MergeKind>>(kMergeKindChoices), merge, "--merge");
  options.reconstruct.scope =
      parse_choice(std::span<const Choice<ReconstructScope>>(kScopes), reconstruct, "--reconstruct");
  options.reconstruct.steps = steps;
  options.reconstruct.distill_steps = distill_steps;
  options.memory = parse_size(memory, "--memory");
  options.seed = seed;
  options.forward = forward;
  if (steps < 0)
    throw Error(ErrorKind::invalid_argument, "--reconstruct-steps", "must be at least 0", std::to_string(steps));
  if (distill_steps < 0) {
    throw Error(ErrorKind::invalid_argument, "--distill-steps", "must be at least 0", std::to_string(distill_steps));
  }
  calibration.check();
  if (needs_calibration(options.kind) && !calibration.given()) {
    throw Error(ErrorKind::invalid_argument, "--merge " + merge, "needs --calibrate", "none",
                "Add --calibrate self, or --calibrate with a text.");
  }
  return options;
}

std::filesystem::path merge_state_folder(const ExportFlags& output) {
  return output.folder().string() + ".merge-state";
}

MergeStep::MergeStep(const Model& model, const Plan& plan, const TokenSequences& calibration,
                     const MergeOptions& options, const ExportFlags& output, bool resume, Console& console)
    : original_(&model) {
  if (options.kind == MergeKind::mean || output.dry_run) return;
  folder_ = merge_state_folder(output);
  std::error_code ignored;
  if (!resume) std::filesystem::remove_all(folder_, ignored);
  result_ = merge_model(model, plan, calibration.all(), options, folder_, console.progress());
  console.note(merge_summary(result_->summary));
}

MergeStep::~MergeStep() {
  // Of an interrupted merge there is no object to destroy: its finished layers stay.
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

}  // namespace qcqa::cli
