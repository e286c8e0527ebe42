#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

#include "qcqa/model/model.hpp"

namespace qcqa {
namespace {

/// FNV-1a, 64 bit (Fowler, Noll, Vo). Tells checkpoints apart; no defence against someone who wants a collision.
class Fnv1a {
 public:
  void add(std::span<const std::byte> bytes) noexcept {
    for (const std::byte byte : bytes) {
      hash_ = (hash_ ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3ULL;
    }
  }
  void add(std::string_view text) noexcept { add(std::as_bytes(std::span(text))); }
  void add(std::int64_t number) noexcept { add(std::as_bytes(std::span(&number, 1))); }
  [[nodiscard]] std::uint64_t value() const noexcept { return hash_; }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325ULL;
};

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
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(hash.value()));
  return text.data();
}

}  // namespace qcqa
