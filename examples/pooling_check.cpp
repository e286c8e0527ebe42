#include "pooling_check.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "seeded_random.hpp"

namespace qcqa::examples {
namespace {

using Labels = std::vector<std::size_t>;

// (KV heads, head_dim, hidden): a view on the weight.
torch::Tensor by_head(const TinyLlama& model, std::int64_t layer, const char* name) {
  return model.attention_weight(layer, name).view({model.shape().heads, model.shape().head_dim, model.shape().hidden});
}

// The rows of every head replaced by the mean over its group: the same function as storing one head
// per group, without changing any shape.
torch::Tensor pooled(const torch::Tensor& heads, const Labels& labels) {
  torch::Tensor result = torch::empty_like(heads);
  for (std::size_t h = 0; h < labels.size(); ++h) {
    std::vector<std::int64_t> members;
    for (std::size_t other = 0; other < labels.size(); ++other) {
      if (labels[other] == labels[h]) members.push_back(static_cast<std::int64_t>(other));
    }
    const torch::Tensor group = heads.index_select(0, torch::tensor(members));
    result.select(0, static_cast<std::int64_t>(h)).copy_(group.mean(0));
  }
  return result;
}

double weight_error(const TinyLlama& model, std::int64_t layer, const Labels& labels) {
  double error = 0.0;
  for (const char* name : {"k_proj", "v_proj"}) {
    const torch::Tensor heads = by_head(model, layer, name);
    error += (heads - pooled(heads, labels)).square().sum().item<double>();
  }
  return error;
}

// Every way to pair the heads that `labels` leaves unpaired (`labels.size()` means unpaired).
template <typename Visit>
void for_each_pairing(Labels& labels, std::size_t group, const Visit& visit) {
  const auto first = std::ranges::find(labels, labels.size());
  if (first == labels.end()) {
    visit(labels);
    return;
  }
  for (auto second = first + 1; second != labels.end(); ++second) {
    if (*second != labels.size()) continue;
    *first = *second = group;
    for_each_pairing(labels, group + 1, visit);
    *first = *second = labels.size();
  }
}

std::pair<Labels, Labels> extreme_pairings(const TinyLlama& model, std::int64_t layer) {
  std::pair<Labels, Labels> result;
  double least = std::numeric_limits<double>::infinity();
  double most = -least;
  Labels labels(static_cast<std::size_t>(model.shape().heads), 0);
  std::ranges::fill(labels, labels.size());
  for_each_pairing(labels, 0, [&](const Labels& candidate) {
    const double error = weight_error(model, layer, candidate);
    if (error < least) std::tie(least, result.first) = std::pair(error, candidate);
    if (error > most) std::tie(most, result.second) = std::pair(error, candidate);
  });
  return result;
}

PoolingResult evaluate(const std::string& name, const TinyLlama& model, const torch::Tensor& held_out,
                       const ModelGrouping& grouping) {
  PoolingResult result{name, 0.0, 0.0};
  TinyLlama changed = model.clone();
  for (std::size_t i = 0; i < grouping.size(); ++i) {
    const auto layer = static_cast<std::int64_t>(i);
    result.weight_error += weight_error(model, layer, grouping[i]);
    for (const char* projection : {"k_proj", "v_proj"}) {
      by_head(changed, layer, projection).copy_(pooled(by_head(model, layer, projection), grouping[i]));
    }
  }
  result.loss = held_out_loss(changed, held_out);
  return result;
}

}  // namespace

double held_out_loss(const TinyLlama& model, const torch::Tensor& rows) {
  constexpr std::int64_t kRowsAtOnce = 32;
  const torch::NoGradGuard no_gradient;
  double sum = 0.0;
  for (std::int64_t at = 0; at < rows.size(0); at += kRowsAtOnce) {
    const torch::Tensor some = rows.slice(0, at, std::min(at + kRowsAtOnce, rows.size(0)));
    sum += model.loss(some).item<double>() * static_cast<double>(some.size(0));
  }
  return sum / static_cast<double>(rows.size(0));
}

std::vector<PoolingResult> check_pooling(const TinyLlama& model, const torch::Tensor& held_out,
                                         std::size_t random_groupings, std::uint64_t seed) {
  const torch::NoGradGuard no_gradient;
  const auto layers = static_cast<std::size_t>(model.shape().layers);
  Labels neighbours(static_cast<std::size_t>(model.shape().heads));
  for (std::size_t h = 0; h < neighbours.size(); ++h) neighbours[h] = h / 2;

  std::vector<PoolingResult> results;
  results.push_back(evaluate("unmodified", model, held_out, {}));
  results.push_back(evaluate("neighbours", model, held_out, ModelGrouping(layers, neighbours)));
  SeededRandom random(seed);
  for (std::size_t n = 0; n < random_groupings; ++n) {
    ModelGrouping grouping(layers, neighbours);
    for (Labels& labels : grouping) random.shuffle(labels);
    results.push_back(evaluate("random " + std::to_string(n + 1), model, held_out, grouping));
  }
  ModelGrouping best;
  ModelGrouping worst;
  for (std::size_t i = 0; i < layers; ++i) {
    auto [least, most] = extreme_pairings(model, static_cast<std::int64_t>(i));
    best.push_back(std::move(least));
    worst.push_back(std::move(most));
  }
  results.push_back(evaluate("least error", model, held_out, best));
  results.push_back(evaluate("most error", model, held_out, worst));
  return results;
}

}  // namespace qcqa::examples
