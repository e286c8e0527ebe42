#include "checkpoint/strided_values.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace qcqa {

StridedValues::StridedValues(std::span<const std::byte> memory, std::size_t element_bytes,
                             std::vector<std::int64_t> shape, std::vector<std::int64_t> strides)
    : memory_(memory), element_bytes_(element_bytes), shape_(std::move(shape)), strides_(std::move(strides)) {}

void StridedValues::make(std::uint64_t first, std::span<std::byte> out) const {
  // The place of an element, as one index per dimension; the last one runs.
  std::vector<std::int64_t> index(shape_.size());
  std::int64_t at = 0;
  for (std::size_t i = shape_.size(); i-- > 0;) {
    index[i] = static_cast<std::int64_t>(first % static_cast<std::uint64_t>(shape_[i]));
    first /= static_cast<std::uint64_t>(shape_[i]);
    at += index[i] * strides_[i];
  }
  for (std::size_t done = 0; done < out.size(); done += element_bytes_) {
    std::memcpy(out.data() + done, memory_.data() + static_cast<std::size_t>(at) * element_bytes_, element_bytes_);
    for (std::size_t i = shape_.size(); i-- > 0;) {
      at += strides_[i];
      if (++index[i] < shape_[i]) break;
      at -= index[i] * strides_[i];
      index[i] = 0;
    }
  }
}

}  // namespace qcqa
