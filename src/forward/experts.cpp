#include "forward/experts.hpp"

#include <ATen/ATen.h>

#include <limits>

#include "forward/layer.hpp"
#include "model/expert_stack.hpp"

namespace qcqa {
namespace {

/// Scores outside the best groups become less than any other. A group's score is the sum of its two best.
at::Tensor within_best_groups(const at::Tensor& scores, const ExpertsFacts& facts) {
  const std::int64_t tokens = scores.size(0);
  const at::Tensor by_group = scores.view({tokens, facts.groups, -1});
  const at::Tensor of_groups = std::get<0>(at::topk(by_group, 2, -1)).sum(-1);
  const at::Tensor best = std::get<1>(at::topk(of_groups, facts.groups_per_token, -1));
  const at::Tensor left_out = at::ones_like(of_groups, at::kBool).scatter_(1, best, false);
  return by_group.masked_fill(left_out.unsqueeze(-1), -std::numeric_limits<double>::infinity()).view(scores.sizes());
}

/// The experts of each token and what they count, (tokens, per_token) both.
struct Routes {
  at::Tensor experts, weights;
};

/// See ExpertsDescription::mixer_tolerance. @param logits  (tokens, experts)
Routes mix_sparsely(const at::Tensor& logits, const ExpertsFacts& facts) {
  constexpr double kNever = -std::numeric_limits<double>::infinity();
  std::vector<at::Tensor> experts, shares;
  at::Tensor left = logits;
  for (int i = 0; i < facts.per_token; ++i) {
    const auto [best, expert] = left.detach().max(-1, true);
    const at::Tensor scale = at::maximum(logits.detach().abs(), best);
    const at::Tensor out_of_reach = (best - logits.detach()) / scale > 2 * facts.mixer_tolerance;
    experts.push_back(expert);
    shares.push_back(at::softmax(left.masked_fill(out_of_reach, kNever), -1).gather(1, expert));
    left = left.scatter(1, expert, kNever);
  }
  return {at::cat(experts, 1), at::cat(shares, 1) * facts.multiplier};
}

Routes route(const ExpertWeights& weights, const ForwardSpec& spec, const at::Tensor& x) {
  const ExpertsFacts& facts = *spec.experts;
  const at::Tensor logits = weights.router(x).to(at::kFloat);
  at::Tensor scores = logits;
  switch (spec.names->experts->scores) {
    case RouterScores::softmax:
      scores = at::softmax(logits, -1);
      break;
    case RouterScores::sigmoid:
      scores = at::sigmoid(logits);
      break;
    case RouterScores::sparse_mixer:
      return mix_sparsely(logits, facts);
    case RouterScores::softmax_of_chosen:
      break;
  }
  at::Tensor to_choose = scores.detach();
  if (weights.choice_bias.defined()) to_choose = to_choose + weights.choice_bias;
  if (facts.groups > 1) to_choose = within_best_groups(to_choose, facts);
  const at::Tensor experts = std::get<1>(at::topk(to_choose, facts.per_token, -1));
  at::Tensor chosen = at::gather(scores, 1, experts);
  if (spec.names->experts->scores == RouterScores::softmax_of_chosen) chosen = at::softmax(chosen, -1);
  if (facts.normalised) chosen = chosen / chosen.sum(-1, true).clamp_min(facts.least_sum);
  return {experts, chosen * facts.multiplier};
}

at::Tensor run_mlp(const MlpWeights& weights, const ForwardSpec& spec, const at::Tensor& x) {
  return weights.down(mlp_features(weights, spec, x));
}

}  // namespace

at::Tensor run_experts(const ExpertWeights& weights, const ForwardSpec& spec, const at::Tensor& x) {
  const auto [experts, counts_as] = route(weights, spec, x);
  const std::int64_t per_token = experts.size(1);
  // The pairs of token and expert, expert by expert.
  const at::Tensor order = std::get<1>(at::sort(experts.flatten(), /*stable=*/true, 0, false));
  const at::Tensor tokens = at::div(order, per_token, "floor");
  const at::Tensor shares = counts_as.flatten().index_select(0, order).unsqueeze(-1).to(x.scalar_type());
  const at::Tensor sizes =
      at::bincount(experts.flatten(), {}, static_cast<std::int64_t>(weights.experts.size())).to(at::kCPU).contiguous();
  at::Tensor out = at::zeros_like(x);
  std::int64_t begin = 0;
  for (std::size_t expert = 0; expert < weights.experts.size(); ++expert) {
    const std::int64_t size = sizes.data_ptr<std::int64_t>()[expert];
    if (size == 0) continue;
    const at::Tensor rows = tokens.narrow(0, begin, size);
    const at::Tensor made = run_mlp(weights.experts[expert], spec, x.index_select(0, rows));
    out.index_add_(0, rows, made * shares.narrow(0, begin, size));
    begin += size;
  }
  if (!weights.shared.down.weight.defined()) return out;
  const at::Tensor shared = run_mlp(weights.shared, spec, x);
  return out + (weights.shared_switch.weight.defined() ? at::sigmoid(weights.shared_switch(x)) * shared : shared);
}

namespace {

/// The stacks of one kind of matrix, gate and up being one kind.
struct Stacks {
  std::vector<TensorView> weights;
  std::vector<const TensorView*> biases;  ///< nullptr: none

  [[nodiscard]] LinearSource of_expert(int expert, int count) const {
    LinearSource source;
    for (std::size_t i = 0; i < weights.size(); ++i) source.add_of_stack(weights[i], biases[i], expert, count);
    return source;
  }
};

/// The names of tensors that hold all experts; an empty one where each has matrices of its own.
MlpNames names_of_stacks(const Model& model, const std::string& prefix, const ExpertsDescription& experts) {
  if (experts.are_stacked()) return experts.names;
  return model.checkpoint().find(prefix + experts.stacked.down) ? experts.stacked : MlpNames{};
}

Stacks find_stacks(const Model& model, const std::string& prefix, const ExpertsDescription& experts,
                   const std::vector<std::string>& names) {
  Stacks stacks;
  for (const std::string& name : names) {
    if (name.empty()) continue;
    stacks.weights.push_back(experts.are_stacked() ? expert_stack(model.checkpoint(), experts, prefix + name)
                                                   : model.checkpoint().at(prefix + name));
    stacks.biases.push_back(experts.has_biases ? &model.checkpoint().at(prefix + ExpertsDescription::bias_of(name))
                                               : nullptr);
  }
  return stacks;
}

/// Rows that took turns: the first of every two first. @param rows  (2 n, ...)
at::Tensor apart(const at::Tensor& rows) {
  return rows.unflatten(0, at::IntArrayRef({rows.size(0) / 2, 2})).transpose(0, 1).flatten(0, 1).contiguous();
}

std::vector<MlpWeights> load_stacked(const Model& model, const std::string& prefix, const MlpNames& names,
                                     const ForwardSpec& spec, const Runtime& runtime) {
  const ExpertsDescription& experts = *spec.names->experts;
  const bool fused = names.gate == names.up;
  const Stacks gate_up = find_stacks(model, prefix, experts, {fused ? std::string() : names.gate, names.up});
  const Stacks down = find_stacks(model, prefix, experts, {names.down});
  const int count = spec.experts->count;
  std::vector<MlpWeights> loaded;
  for (int expert = 0; expert < count; ++expert) {
    MlpWeights& own = loaded.emplace_back(
        read_mlp(model, gate_up.of_expert(expert, count), down.of_expert(expert, count), prefix, names, runtime));
    if (!experts.take_turns) continue;
    own.gate_up.weight = apart(own.gate_up.weight);
    if (own.gate_up.bias.defined()) own.gate_up.bias = apart(own.gate_up.bias);
  }
  return loaded;
}

}  // namespace

ExpertWeights load_experts(const Model& model, const std::string& prefix, const ForwardSpec& spec,
                           const Runtime& runtime) {
  const ExpertsDescription& names = *spec.names->experts;
  const ExpertsFacts& facts = *spec.experts;
  ExpertWeights weights;
  weights.router = load_linear(model, prefix + names.router, runtime);
  if (!names.choice_bias.empty()) {
    weights.choice_bias = widened(model.checkpoint().at(prefix + names.choice_bias)).flatten().to(runtime.device);
  }
  if (const MlpNames stacks = names_of_stacks(model, prefix, names); !stacks.up.empty()) {
    weights.experts = load_stacked(model, prefix, stacks, spec, runtime);
  } else {
    for (int expert = 0; expert < facts.count; ++expert)
      weights.experts.push_back(load_mlp(model, prefix, names.of_expert(expert), runtime));
  }
  if (facts.shared_width > 0) weights.shared = load_mlp(model, prefix, names.shared, runtime);
  if (!names.shared_switch.empty()) weights.shared_switch = load_linear(model, prefix + names.shared_switch, runtime);
  return weights;
}

}  // namespace qcqa
