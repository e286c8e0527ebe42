#include "merge/distill_state.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <string>
#include <system_error>

#include "forward/linear.hpp"
#include "merge/kept_tensors.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// Of a Distillation or a Fit.
template <typename T>
T before_and_after(const JsonView& summary) {
  return {.before = summary.at("before").number(0),
          .after = summary.at("after").number(0),
          .steps = steps_of(summary, "steps")};
}

std::string name_of(std::size_t index) { return "tensor-" + std::to_string(index); }

}  // namespace

std::optional<Distillation> DistillState::result() const {
  if (!std::filesystem::exists(distilled())) return std::nullopt;
  return with_summary(distilled(), before_and_after<Distillation>);
}

void DistillState::finish(const std::vector<TensorBytes>& tensors, const Distillation& result) const {
  keep_tensors(distilled(), tensors, {{"before", result.before}, {"after", result.after}, {"steps", result.steps}});
  std::error_code ignored;
  std::filesystem::remove_all(distilling(), ignored);
}

Model DistillState::applied_to(const Model& model) const {
  return std::filesystem::exists(distilled()) ? model.with(Checkpoint::open(distilled())) : model;
}

DistillCheckpoints DistillState::checkpoints() const {
  const std::filesystem::path folder = distilling();
  DistillCheckpoints checkpoints;
  checkpoints.load = [=](std::span<const at::Tensor> like) -> std::optional<DistillCheckpoints::Saved> {
    if (!std::filesystem::exists(folder)) return std::nullopt;
    const Checkpoint file = Checkpoint::open(folder);
    DistillCheckpoints::Saved saved = with_summary(folder, [](const JsonView& summary) {
      return DistillCheckpoints::Saved{.fit = {.step = steps_of(summary, "step"),
                                               .best = before_and_after<Fit>(summary),
                                               .least = summary.at("least").number(0),
                                               .least_at = steps_of(summary, "least at")},
                                       .tensors = {}};
    });
    for (std::size_t i = 0; i < like.size(); ++i) {
      const at::Tensor tensor = widened(file.at(name_of(i)));
      if (tensor.sizes() != like[i].sizes()) {
        throw Error(ErrorKind::corrupt, folder.string(), "must hold the state of this distillation", name_of(i),
                    kStartOver);
      }
      saved.tensors.push_back(tensor);
    }
    return saved;
  };
  checkpoints.save = [=](const FitState& state, const std::vector<at::Tensor>& tensors) {
    std::vector<TensorBytes> bytes;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      bytes.push_back(
          tensor_bytes(name_of(i), tensors[i].detach().to(at::kCPU).to(at::kDouble).contiguous(), Dtype::f32));
    }
    keep_tensors(folder, bytes,
                 {{"step", state.step},
                  {"before", state.best.before},
                  {"after", state.best.after},
                  {"steps", state.best.steps},
                  {"least", std::min(state.least, std::numeric_limits<double>::max())},  // JSON has no infinity
                  {"least at", state.least_at}});
  };
  return checkpoints;
}

}  // namespace qcqa
