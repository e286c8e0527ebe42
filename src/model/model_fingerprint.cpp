#include <algorithm>

#include "qcqa/model/model.hpp"
#include "support/fnv1a.hpp"

namespace qcqa {
namespace {

/// The beginning of the first head and the end of the last: enough to tell two trainings apart.
void add_samples(Fnv1a& hash, std::span<const HeadRows> heads) {
  static constexpr std::size_t kSample = 1024;  // bytes
  std::vector<std::byte> buffer;
  const TensorSlice& first = heads.front().weight;
  const TensorSlice& last = heads.back().weight;
  const std::size_t elements =
      std::min(kSample / (static_cast<std::size_t>(dtype_bits(first.dtype())) / 8), first.size());
  hash.add(first.part(0, elements).bytes(buffer));
  hash.add(last.part(last.size() - elements, elements).bytes(buffer));
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
