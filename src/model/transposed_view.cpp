#include "model/transposed_view.hpp"

#include <cstring>
#include <utility>

namespace qcqa {
namespace {

class TransposedValues final : public DerivedValues {
 public:
  explicit TransposedValues(TensorView matrix)
      : matrix_(std::move(matrix)), element_bytes_(dtype_bytes(matrix_.dtype)) {}

  void make(std::uint64_t first, std::span<std::byte> out) const override {
    const auto rows = static_cast<std::uint64_t>(matrix_.shape.end()[-2]);
    const auto columns = static_cast<std::uint64_t>(matrix_.shape.end()[-1]);
    std::uint64_t row = first % rows, column = first / rows % columns, above = first / rows / columns * rows;
    for (std::size_t done = 0; done < out.size(); done += element_bytes_) {
      const std::uint64_t place = (above + row) * columns + column;
      const auto element = out.subspan(done, element_bytes_);
      if (matrix_.derived) {
        matrix_.derived->make(place, element);
      } else {
        std::memcpy(element.data(), matrix_.stored.data() + place * element_bytes_, element_bytes_);
      }
      if (++row < rows) continue;
      row = 0;
      if (++column < columns) continue;
      column = 0;
      above += rows;
    }
  }

 private:
  TensorView matrix_;  ///< or a stack of them
  std::size_t element_bytes_;
};

}  // namespace

TensorView transposed_view(const TensorView& matrix) {
  TensorView view = matrix;
  view.derived = std::make_shared<const TransposedValues>(matrix);
  std::swap(view.shape.end()[-2], view.shape.end()[-1]);
  return view;
}

void transpose_packed(std::span<const std::byte> bytes, std::int64_t rows, std::int64_t columns,
                      std::size_t element_bytes, std::span<std::byte> out) {
  const auto r = static_cast<std::size_t>(rows);
  const auto c = static_cast<std::size_t>(columns);
  for (std::size_t row = 0; row < r; ++row) {
    for (std::size_t column = 0; column < c; ++column) {
      std::memcpy(out.data() + (column * r + row) * element_bytes, bytes.data() + (row * c + column) * element_bytes,
                  element_bytes);
    }
  }
}

}  // namespace qcqa
