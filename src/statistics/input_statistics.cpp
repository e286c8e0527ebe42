#include "qcqa/statistics/input_statistics.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <string>
#include <utility>

#include "qcqa/checkpoint/checkpoint.hpp"
#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/checkpoint/writer.hpp"
#include "qcqa/support/error.hpp"
#include "statistics/activations.hpp"
#include "statistics/layer_statistics.hpp"
#include "statistics/second_moment.hpp"
#include "support/advice.hpp"

namespace qcqa {
namespace {

constexpr const char* kMoment = "second_moment";
constexpr const char* kResidual = "residual_square";

std::span<const std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.data_ptr()), static_cast<std::size_t>(tensor.nbytes())};
}

at::Tensor read_tensor(const TensorView& view, at::IntArrayRef shape) {
  at::Tensor tensor = at::empty(shape, at::kDouble);
  if (view.element_count() != tensor.numel()) {
    throw Error(ErrorKind::corrupt, view.file.string() + ": " + view.name, "must be of this model", {}, kStartOver);
  }
  view.all().read(std::span(tensor.data_ptr<double>(), static_cast<std::size_t>(tensor.numel())));
  return tensor;
}

}  // namespace

InputStatistics::Layers::Layers(const Model& model, std::span<const TokenSequence> calibration,
                                const ForwardOptions& options, std::filesystem::path folder, std::uint64_t memory,
                                ProgressFn progress)
    : model_(model),
      sequences_(evenly_spread(calibration, kMomentTokensPerColumn * model.layers().front().hidden_size)),
      options_(options),
      folder_(std::move(folder)),
      memory_(memory),
      progress_(std::move(progress)) {}

at::Tensor InputStatistics::Layers::second_moment(int layer, std::int64_t inputs) {
  return calibrated() ? find(layer, inputs).moment : isotropic_moment(model_, layer, inputs);
}

double InputStatistics::Layers::residual_square(int layer, std::int64_t inputs) {
  return calibrated() ? find(layer, inputs).residual_square : 1;
}

const InputStatistics::Layers::Found& InputStatistics::Layers::find(int layer, std::int64_t inputs) {
  if (last_layer_ == layer) return last_;
  if (!folder_.empty() && std::filesystem::exists(file_of(layer))) {
    last_ = read(layer, inputs);
  } else {
    last_ = look_at(layer, inputs);
    if (!folder_.empty()) keep(layer, last_);
  }
  last_layer_ = layer;
  return last_;
}

std::filesystem::path InputStatistics::Layers::file_of(int layer) const {
  return folder_ / ("layer-" + std::to_string(layer));
}

InputStatistics::Layers::Found InputStatistics::Layers::read(int layer, std::int64_t inputs) const {
  const Checkpoint file = Checkpoint::open(file_of(layer));
  return {.moment = read_tensor(file.at(kMoment), {inputs, inputs}),
          .residual_square = read_tensor(file.at(kResidual), {1}).item<double>()};
}

void InputStatistics::Layers::keep(int layer, const Found& found) const {
  std::filesystem::create_directories(folder_);
  const at::Tensor residual = at::full({1}, found.residual_square, at::kDouble);
  require_free_space(folder_, found.moment.nbytes());
  StagedFolder staged(file_of(layer), Overwrite::replace);
  CheckpointWriter writer(staged.path(),
                          {{kMoment, Dtype::f64, found.moment.sizes().vec()}, {kResidual, Dtype::f64, {1}}});
  writer.write(kMoment, bytes_of(found.moment));
  writer.write(kResidual, bytes_of(residual));
  writer.finish();
  staged.commit();
}

InputStatistics::Layers::Found InputStatistics::Layers::look_at(int layer, std::int64_t inputs) {
  stand_before(layer);
  const LayerWeights weights = transformer_->load(layer);
  Found found{.moment = qcqa::second_moment(*runner_, hidden_, weights, inputs).contiguous()};
  advance(weights, layer);
  // The harmonic mean: a few tokens of massive activations (arXiv 2402.17762) would make all errors of a layer small.
  found.residual_square = 1 / squares_of(hidden_).to(at::kDouble).reciprocal().mean().item<double>();
  return found;
}

void InputStatistics::Layers::stand_before(int layer) {
  if (!runner_) {
    transformer_.emplace(model_, Runtime::of(options_));
    runner_.emplace(*transformer_, sequences_);
    const std::int64_t width = transformer_->hidden_size();
    const bool in_file =
        !folder_.empty() && static_cast<std::uint64_t>(runner_->tokens() * width) * sizeof(float) > memory_;
    if (in_file) std::filesystem::create_directories(folder_);
    hidden_ = make_activations(runner_->tokens(), width, in_file, folder_);
  }
  if (next_ < 0 || next_ > layer) {
    runner_->embed(hidden_);
    next_ = 0;
    is_led_in_ = false;
  }
  for (; next_ < layer; advance(transformer_->load(next_), next_)) lead_in();
  lead_in();
}

void InputStatistics::Layers::lead_in() {
  if (is_led_in_) return;
  const at::NoGradGuard no_gradients;
  const int layer = std::exchange(next_, -1);
  runner_->lead_in(layer, {hidden_});
  next_ = layer;
  is_led_in_ = true;
}

void InputStatistics::Layers::advance(const LayerWeights& weights, int layer) {
  const at::NoGradGuard no_gradients;
  const auto layers = static_cast<std::int64_t>(model_.layers().size());
  next_ = -1;  // an interruption leaves the states between two layers
  BatchProgress meter([&](std::int64_t rows) {
    return !progress_ || progress_({"statistics", layer * runner_->tokens() + rows, layers * runner_->tokens()});
  });
  runner_->advance(weights, layer, hidden_, meter);
  next_ = layer + 1;
  is_led_in_ = false;
}

InputStatistics::InputStatistics(const Model& model) : layers_(std::make_unique<Layers>(model)) {}
InputStatistics::InputStatistics(const Model& model, std::span<const TokenSequence> calibration,
                                 const ForwardOptions& options, std::filesystem::path folder, std::uint64_t memory,
                                 ProgressFn progress)
    : layers_(std::make_unique<Layers>(model, calibration, options, std::move(folder), memory, std::move(progress))) {}
InputStatistics::InputStatistics(InputStatistics&&) noexcept = default;
InputStatistics& InputStatistics::operator=(InputStatistics&&) noexcept = default;
InputStatistics::~InputStatistics() = default;

bool InputStatistics::calibrated() const noexcept { return layers_->calibrated(); }

}  // namespace qcqa
