#include "qcqa/fitness/head_gram.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "checkpoint/finite.hpp"
#include "fitness/gram_cuda.hpp"
#include "fitness/gram_kernel.hpp"
#include "qcqa/support/error.hpp"
#include "support/parallel.hpp"

namespace qcqa {
namespace {

/// Elements of each head per task. Fixed, so that sums are formed in the same order whatever the number of threads.
constexpr std::size_t kSegment = 16384;

struct Task {
  const std::vector<HeadRows>* heads = nullptr;
  bool bias = false;
  std::size_t begin = 0, end = 0;
  std::vector<double> gram;
};

void add_tasks(std::vector<Task>& tasks, const AttentionLayer& layer, const std::vector<HeadRows>& heads) {
  const auto elements = static_cast<std::size_t>(layer.head_dim) * static_cast<std::size_t>(layer.hidden_size);
  for (std::size_t begin = 0; begin < elements; begin += kSegment) {
    tasks.push_back({&heads, false, begin, std::min(begin + kSegment, elements), {}});
  }
  if (!heads.front().bias.empty()) tasks.push_back({&heads, true, 0, static_cast<std::size_t>(layer.head_dim), {}});
}

void run(Task& task) {
  const std::size_t heads = task.heads->size();
  const auto slice_of = [&](const HeadRows& head) -> const TensorSlice& { return task.bias ? head.bias : head.weight; };
  std::vector<std::vector<std::byte>> buffers(heads);
  std::vector<const std::byte*> rows;
  rows.reserve(heads);
  for (std::size_t i = 0; i < heads; ++i) {
    rows.push_back(slice_of((*task.heads)[i]).part(task.begin, task.end - task.begin).bytes(buffers[i]).data());
  }
  task.gram = gram_of_rows(rows, slice_of(task.heads->front()).dtype(), 0, task.end - task.begin);
}

HeadGram gram_on_cpu(const AttentionLayer& layer) {
  std::vector<Task> tasks;
  add_tasks(tasks, layer, layer.key);
  const std::size_t key_tasks = tasks.size();
  add_tasks(tasks, layer, layer.value);
  parallel_for(tasks.size(), [&](std::size_t i) { run(tasks[i]); });
  const auto size = static_cast<std::size_t>(layer.kv_heads) * static_cast<std::size_t>(layer.kv_heads);
  HeadGram gram{layer.kv_heads, std::vector<double>(size), std::vector<double>(size)};
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    std::vector<double>& sum = t < key_tasks ? gram.k : gram.v;
    for (std::size_t i = 0; i < size; ++i) sum[i] += tasks[t].gram[i];
  }
  return gram;
}

void require_finite_gram(const std::vector<HeadRows>& heads, const std::vector<double>& gram) {
  for (std::size_t head = 0; head < heads.size(); ++head) {
    if (std::isfinite(gram[head * (heads.size() + 1)])) continue;
    require_finite(heads[head].weight.tensor());
    if (!heads[head].bias.empty()) require_finite(heads[head].bias.tensor());
    throw Error(ErrorKind::unsupported, heads[head].weight.tensor().name,
                "squares of the weights must fit into float64", "an overflow");
  }
}

}  // namespace

HeadGram compute_head_gram(const AttentionLayer& layer, const Device& device) {
  HeadGram gram = device.kind == Device::Kind::cuda ? gram_on_cuda(layer, device) : gram_on_cpu(layer);
  require_finite_gram(layer.key, gram.k);
  require_finite_gram(layer.value, gram.v);
  return gram;
}

PairwiseCost wse_cost(const HeadGram& gram) {
  const auto n = static_cast<std::size_t>(gram.heads);
  const auto distances = [n](const std::vector<double>& products) {
    std::vector<double> out(n * n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = i + 1; j < n; ++j) {
        // Rounding can take the difference of (nearly) equal heads below zero.
        const double distance = std::max(0.0, products[i * n + i] + products[j * n + j] - 2 * products[i * n + j]);
        out[i * n + j] = out[j * n + i] = distance;
      }
    }
    return out;
  };
  std::vector<double> norms(n);
  for (std::size_t i = 0; i < n; ++i) norms[i] = gram.k[i * n + i];
  return PairwiseCost(gram.heads, distances(gram.k), distances(gram.v), std::move(norms));
}

}  // namespace qcqa
