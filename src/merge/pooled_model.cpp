#include "qcqa/merge/pooled_model.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "checkpoint/finite.hpp"
#include "qcqa/checkpoint/float_codec.hpp"

namespace qcqa {
namespace {

/// Elements handled at once: small enough for the first-level cache.
constexpr std::size_t kBlock = 1024;

/// The rows of a tensor in blocks of one head each, every block the mean of some of the source's; in float64.
class PooledValues final : public DerivedValues {
 public:
  /// @param members  per block those of the source whose mean it is
  PooledValues(TensorView source, std::vector<std::vector<std::size_t>> members)
      : source_(std::move(source)),
        members_(std::move(members)),
        block_elements_(static_cast<std::size_t>(source_.element_count()) / members_.size()) {}

  void make(std::uint64_t first, std::span<std::byte> out) const override {
    auto element = static_cast<std::size_t>(first);
    for (std::size_t done = 0; done < out.size();) {
      const std::size_t in_block = element % block_elements_;
      const std::size_t count = std::min({kBlock, block_elements_ - in_block, (out.size() - done) / sizeof(double)});
      mean_of(members_[element / block_elements_], in_block, out.subspan(done, count * sizeof(double)));
      done += count * sizeof(double);
      element += count;
    }
  }

 private:
  void mean_of(const std::vector<std::size_t>& blocks, std::size_t in_block, std::span<std::byte> out) const {
    const std::size_t count = out.size() / sizeof(double);
    std::array<double, kBlock> sum{}, values;
    std::vector<std::byte> first_made, made;
    std::span<const std::byte> first;
    bool equal = true;  // a sum of equals, divided, may be off by its rounding
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const TensorSlice part = source_.all().part(blocks[i] * block_elements_ + in_block, count);
      const auto bytes = part.bytes(i == 0 ? first_made : made);
      if (i == 0) {
        first = bytes;
      } else {
        equal = equal && std::memcmp(bytes.data(), first.data(), first.size()) == 0;
      }
      decode(bytes, source_.dtype, std::span(values).first(count));
      for (std::size_t k = 0; k < count; ++k) sum[k] += values[k];
    }
    if (equal) {
      decode(first, source_.dtype, std::span(sum).first(count));
    } else {
      for (std::size_t k = 0; k < count; ++k) sum[k] /= static_cast<double>(blocks.size());
    }
    std::memcpy(out.data(), sum.data(), out.size());
    if (!all_finite(out, Dtype::f64)) require_finite(source_);  // says where
  }

  TensorView source_;
  std::vector<std::vector<std::size_t>> members_;
  std::size_t block_elements_;
};

/// Every element in another type.
class RoundedValues final : public DerivedValues {
 public:
  RoundedValues(TensorView source, Dtype dtype) : source_(std::move(source)), dtype_(dtype) {}

  void make(std::uint64_t first, std::span<std::byte> out) const override {
    const std::size_t size = dtype_bytes(dtype_);
    std::array<double, kBlock> values;
    for (std::size_t done = 0; done < out.size() / size; done += kBlock) {
      const auto some = std::span(values).first(std::min(kBlock, out.size() / size - done));
      source_.all().part(first + done, some.size()).read(some);
      encode(some, dtype_, out.subspan(done * size, some.size() * size));
    }
  }

 private:
  TensorView source_;
  Dtype dtype_;
};

TensorView derived_view(const TensorView& source, Dtype dtype, std::shared_ptr<const DerivedValues> values) {
  TensorView view = source;
  view.narrow = source.written_dtype();
  view.dtype = dtype;
  view.derived = std::move(values);
  view.stored_as.reset();
  return view;
}

bool is_of_query(const HeadSlot& slot) { return slot.role == HeadRole::query || slot.role == HeadRole::gate; }

/// Where the heads of a group stand in a tensor of so many slots; each by itself where it is not shared.
std::vector<std::vector<std::size_t>> members_of(const std::vector<HeadSlot>& slots, const Grouping& grouping,
                                                 Pooled pooled) {
  const auto groups = grouping.members();
  std::vector<std::vector<std::size_t>> members(slots.size());
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (is_of_query(slots[i])) {
      members[i] = {i};
      continue;
    }
    const auto& heads = groups[grouping.labels()[static_cast<std::size_t>(slots[i].head)]];
    for (std::size_t j = 0; j < slots.size(); ++j) {
      const bool of_group =
          slots[j].role == slots[i].role && std::ranges::count(heads, static_cast<std::uint8_t>(slots[j].head)) != 0;
      if (of_group && (pooled == Pooled::all || slots[j].head == heads.front())) members[i].push_back(j);
    }
  }
  return members;
}

/// The tensors of a layer that hold key and value heads.
class LayerPooler {
 public:
  LayerPooler(const Model& model, const AttentionLayer& layer, const Grouping& grouping, Pooled pooled)
      : model_(model), layer_(layer), grouping_(grouping), pooled_(pooled) {}

  void add_to(std::vector<TensorView>& views) {
    const Architecture& architecture = model_.architecture();
    for (const Projection& projection : architecture.projections) {
      for (const char* suffix : {".weight", ".bias"}) add(projection, suffix, views);
    }
    if (layer_.key.front().norm.empty()) return;
    add({.tensor = architecture.attention.head_norm.key, .holds = {HeadRole::key}}, ".weight", views);
  }

 private:
  void add(const Projection& projection, const char* suffix, std::vector<TensorView>& views) {
    const auto slots = head_slots(projection, layer_.query_heads, layer_.kv_heads);
    if (std::ranges::all_of(slots, is_of_query)) return;
    const TensorView* view =
        model_.checkpoint().find(model_.architecture().tensor_name(layer_.place, projection.tensor, suffix));
    if (view == nullptr) return;
    views.push_back(derived_view(*view, Dtype::f64,
                                 std::make_shared<const PooledValues>(*view, members_of(slots, grouping_, pooled_))));
  }

  const Model& model_;
  const AttentionLayer& layer_;
  const Grouping& grouping_;
  Pooled pooled_;
};

}  // namespace

Model pooled_model(const Model& model, const Plan& plan, Pooled pooled) {
  std::vector<TensorView> views;
  for (const AttentionLayer& layer : model.layers()) {
    const Grouping& grouping = plan.grouping(layer.layer);
    if (grouping.groups() < grouping.heads()) LayerPooler(model, layer, grouping, pooled).add_to(views);
  }
  return model.with(model.checkpoint().seen_as(std::move(views)));
}

Model rounded_model(const Model& model, std::optional<Dtype> dtype) {
  std::vector<TensorView> views;
  for (const TensorView& view : model.checkpoint().tensors()) {
    const Dtype written = dtype.value_or(view.written_dtype());
    if (view.stored_as || view.dtype == written || !is_attention_dtype(view.dtype)) continue;
    views.push_back(derived_view(view, written, std::make_shared<const RoundedValues>(view, written)));
    views.back().narrow.reset();
  }
  return model.with(model.checkpoint().seen_as(std::move(views)));
}

}  // namespace qcqa
