#include "merge/merge_state.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "checkpoint/json_file.hpp"
#include "merge/kept_tensors.hpp"
#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/support/error.hpp"
#include "support/fnv1a.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;
constexpr const char* kIdentityFile = "merge.json";

/// Everything that the merged tensors follow from.
nlohmann::json identity_of(const Model& model, const Plan& plan, std::span<const TokenSequence> calibration,
                           const MergeOptions& options) {
  nlohmann::json labels = nlohmann::json::array();
  for (const LayerPlan& layer : plan.layers) {
    labels.push_back(std::vector<int>(layer.grouping.labels().begin(), layer.grouping.labels().end()));
  }
  Fnv1a hash;
  for (const TokenSequence& sequence : calibration) {
    hash.add(static_cast<std::int64_t>(sequence.ids.size()));
    hash.add(std::as_bytes(sequence.ids));
  }
  return {{"model", model.fingerprint()},
          {"labels", std::move(labels)},
          {"calibration", hash.text()},
          {"kind", static_cast<int>(options.kind)},
          {"scope", static_cast<int>(options.reconstruct.scope)},
          {"steps", options.reconstruct.steps},
          {"step_tokens", options.reconstruct.step_tokens},
          {"learning_rate", options.reconstruct.learning_rate},
          {"distill_steps", options.reconstruct.distill_steps},
          {"distill_rate", options.reconstruct.distill_rate.value_or(0)},
          {"seed", options.seed}};
}

/// @throws Error(invalid_argument) naming what differs
void require_same(const fs::path& file, const nlohmann::json& identity) {
  static constexpr const char* kFix = "Merge as before, or into another folder.";
  const auto kept = read_json_file<nlohmann::json>(file, kFix);
  if (kept == identity) return;
  std::string differences;
  for (const auto& [key, value] : identity.items()) {
    const auto before = kept.is_object() ? kept.find(key) : kept.end();
    if (before == kept.end() || *before != value) differences += (differences.empty() ? "another " : ", ") + key;
  }
  throw Error(ErrorKind::invalid_argument, file.parent_path().string(), "holds layers that were merged otherwise",
              differences.empty() ? "more than this version knows" : differences, kFix);
}

}  // namespace

MergeState::MergeState(const Model& model, const Plan& plan, std::span<const TokenSequence> calibration,
                       const MergeOptions& options, fs::path folder)
    : model_(&model), folder_(std::move(folder)) {
  const nlohmann::json identity = identity_of(model, plan, calibration, options);
  std::error_code error;
  if (fs::exists(folder_ / kIdentityFile, error)) {
    require_same(folder_ / kIdentityFile, identity);
    return;
  }
  fs::create_directories(folder_, error);
  if (error) throw Error(ErrorKind::io, folder_.string(), "cannot be made", error.message());
  write_file_atomically(folder_ / kIdentityFile, identity.dump());
}

bool MergeState::has_layers() const {
  return std::ranges::all_of(model_->layers(), [&](const AttentionLayer& layer) { return is_finished(layer.layer); });
}

fs::path MergeState::layer_folder(int layer) const { return folder_ / ("layer-" + std::to_string(layer)); }

bool MergeState::is_finished(int layer) const { return fs::exists(layer_folder(layer)); }

void MergeState::finish(int layer, const std::vector<TensorBytes>& tensors, const MergedLayer& summary) {
  keep_tensors(layer_folder(layer), tensors,
               {{"subspace_error", summary.subspace_error},
                {"refit_error", summary.refit_error},
                {"error", summary.error},
                {"sink_error", summary.sink_error},
                {"sink_mass_before", summary.sink_mass_before},
                {"sink_mass", summary.sink_mass},
                {"steps", summary.steps}});
}

const Model& MergeState::model_with(int layer) {
  with_layer_ = model_->with(Checkpoint::open(layer_folder(layer)));
  return *with_layer_;
}

Model MergeState::merged_model() const {
  Model merged = *model_;
  for (const AttentionLayer& layer : model_->layers())
    merged = merged.with(Checkpoint::open(layer_folder(layer.layer)));
  return distillation().applied_to(merged);
}

std::vector<MergedLayer> MergeState::layers() const {
  std::vector<MergedLayer> layers;
  for (const AttentionLayer& layer : model_->layers()) {
    layers.push_back(with_summary(layer_folder(layer.layer), [&](const JsonView& summary) {
      return MergedLayer{.layer = layer.layer,
                         .subspace_error = summary.at("subspace_error").number(0),
                         .refit_error = summary.at("refit_error").number(0),
                         .error = summary.at("error").number(0),
                         .sink_error = summary.at("sink_error").number(0),
                         .sink_mass_before = summary.at("sink_mass_before").number(0),
                         .sink_mass = summary.at("sink_mass").number(0),
                         .steps = steps_of(summary, "steps")};
    }));
  }
  return layers;
}

}  // namespace qcqa
