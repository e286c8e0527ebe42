#include "qcqa/checkpoint/tensor_view.hpp"

#include <algorithm>
#include <cmath>

#include "checkpoint/finite.hpp"
#include "qcqa/checkpoint/float_codec.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// Elements of derived values that are made at a time on their way to another type.
constexpr std::size_t kElementsAtOnce = 4096;

template <typename T>
void read_values(const TensorView& tensor, std::uint64_t first, std::span<T> out) {
  const std::size_t size = dtype_bytes(tensor.dtype);
  if (!tensor.derived) {
    decode(tensor.stored.subspan(static_cast<std::size_t>(first) * size, out.size() * size), tensor.dtype, out);
    return;
  }
  if (tensor.dtype == (std::is_same_v<T, float> ? Dtype::f32 : Dtype::f64)) {
    tensor.derived->make(first, std::as_writable_bytes(out));
    return;
  }
  std::vector<std::byte> piece(std::min(kElementsAtOnce, out.size()) * size);
  for (std::size_t begin = 0; begin < out.size(); begin += kElementsAtOnce) {
    const std::size_t count = std::min(kElementsAtOnce, out.size() - begin);
    const auto bytes = std::span(piece).first(count * size);
    tensor.derived->make(first + begin, bytes);
    decode(bytes, tensor.dtype, out.subspan(begin, count));
  }
}

/// Of the values just read: one pass while they are in the cache.
template <typename T>
void require_finite_values(const TensorView& tensor, std::uint64_t first, std::span<const T> values) {
  if (all_finite(std::as_bytes(values), std::is_same_v<T, float> ? Dtype::f32 : Dtype::f64)) return;
  const auto bad = std::ranges::find_if_not(values, [](T value) { return std::isfinite(value); });
  const std::uint64_t element = first + static_cast<std::uint64_t>(bad - values.begin());
  double value = 0;
  read_values(tensor, element, std::span(&value, 1));
  if (!std::isfinite(value)) refuse_not_finite(tensor, element, value);
  throw Error(ErrorKind::unsupported, tensor.file.string() + ": " + tensor.name, "weights must fit into float32",
              value_in_words(value) + " at " + element_place(tensor.shape, element));
}

void require_size(std::size_t size, std::size_t wanted) {
  if (size == wanted) return;
  throw Error(ErrorKind::internal, "TensorSlice::read", "as many elements as the slice has",
              std::to_string(wanted) + " for " + std::to_string(size));
}

}  // namespace

TensorSlice::TensorSlice(const TensorView& tensor, std::uint64_t first, std::uint64_t count)
    : tensor_(&tensor), first_(first), count_(count) {
  const auto elements = static_cast<std::uint64_t>(tensor.element_count());
  if (first > elements || count > elements - first) {
    throw Error(ErrorKind::internal, tensor.name, "a slice must lie within its tensor",
                std::to_string(count) + " elements at " + std::to_string(first) + " of " + std::to_string(elements));
  }
}

Dtype TensorSlice::dtype() const noexcept { return tensor_->dtype; }

TensorSlice TensorSlice::part(std::uint64_t first, std::uint64_t count) const {
  return {*tensor_, first_ + first, count};
}

void TensorSlice::read(std::span<double> out) const {
  require_size(size(), out.size());
  if (empty()) return;
  read_values(*tensor_, first_, out);
  require_finite_values<double>(*tensor_, first_, out);
}

void TensorSlice::read(std::span<float> out) const {
  require_size(size(), out.size());
  if (empty()) return;
  read_values(*tensor_, first_, out);
  require_finite_values<float>(*tensor_, first_, out);
}

std::span<const std::byte> TensorSlice::bytes(std::vector<std::byte>& buffer) const {
  if (empty()) return {};
  const std::size_t element = dtype_bytes(tensor_->dtype);
  if (!tensor_->derived) return tensor_->stored.subspan(static_cast<std::size_t>(first_) * element, size() * element);
  buffer.resize(size() * element);
  tensor_->derived->make(first_, buffer);
  return buffer;
}

std::span<const std::byte> TensorSlice::pages() const noexcept {
  if (empty()) return {};
  const auto place = [this](std::uint64_t element) {
    const double share = static_cast<double>(element) / static_cast<double>(tensor_->element_count());
    return std::min(tensor_->stored.size(),
                    static_cast<std::size_t>(share * static_cast<double>(tensor_->stored.size())));
  };
  const std::size_t begin = place(first_);
  return tensor_->stored.subspan(begin, place(first_ + count_) - begin);
}

std::int64_t TensorView::element_count() const noexcept {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  return count;
}

TensorSlice TensorView::rows(std::int64_t first, std::int64_t count) const {
  const std::int64_t row = shape.empty() || shape.front() == 0 ? 0 : element_count() / shape.front();
  return {*this, static_cast<std::uint64_t>(first * row), static_cast<std::uint64_t>(count * row)};
}

}  // namespace qcqa
