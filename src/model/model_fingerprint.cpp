#include <algorithm>

#include "qcqa/model/model.hpp"
#include "support/fnv1a.hpp"

namespace qcqa {
namespace {

/// The beginning of the first head and the end of the last: enough to tell two trainings apart.
void add_samples(Fnv1a& hash, std::span<const HeadRows> heads) {
  static constexpr std::size_t kSample = 1024;
  const auto first = heads.front().weight;
  const auto last = heads.back().weight;
  hash.add(first.first(std::min(kSample, first.size())));
  hash.add(last.last(std::min(kSample, last.size())));
}

}  // namespace

std::string Model::fingerprint() const {
  Fnv1a hash;
  for (const TensorView& tensor : checkpoint_.tensors()) {
    hash.add(tensor.name);
    hash.add(dtype_name(tensor.dtype));
    for (const std::int64_t extent : tensor.shape) hash.add(extent);
  }
  for (const AttentionLayer& layer : layers_) {
    hash.add(layer.kv_heads);
    add_samples(hash, layer.key);
    add_samples(hash, layer.value);
  }
  return hash.text();
}

}  // namespace qcqa
