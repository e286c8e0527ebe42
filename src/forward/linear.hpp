#pragma once

#include <span>
#include <vector>

#include "forward/runtime.hpp"
#include "qcqa/checkpoint/checkpoint.hpp"

namespace qcqa {

/// Rows of a weight matrix and of its bias where they lie in a checkpoint, in the order wanted.
struct LinearSource {
  struct Part {
    std::span<const std::byte> weight;  ///< `rows` rows, packed
    std::span<const std::byte> bias;    ///< `rows` elements, or empty for zeros
    std::int64_t rows = 0;
    Dtype dtype{};
    Dtype bias_dtype{};
  };
  std::vector<Part> parts;
  std::int64_t inputs = 0;

  /// All rows of a tensor (outputs, inputs).
  void add(const TensorView& weight, const TensorView* bias);
};

/// y = x W^T + b with W in the form that this device multiplies fastest.
class Linear {
 public:
  Linear() = default;
  /// Reads and widens the weights.
  Linear(const LinearSource& source, const Runtime& runtime);

  [[nodiscard]] std::int64_t inputs() const noexcept { return inputs_; }
  [[nodiscard]] std::int64_t outputs() const noexcept { return outputs_; }

  /// @param x (rows, inputs), contiguous  @returns (rows, outputs), contiguous
  [[nodiscard]] at::Tensor operator()(const at::Tensor& x) const;

 private:
  [[nodiscard]] at::Tensor multiply(const at::Tensor& x) const;

  bool packed_ = false;
  std::int64_t inputs_ = 0, outputs_ = 0;
  at::Tensor weight_;  ///< (outputs, inputs), or panels for the kernels of this program
  at::Tensor bias_;    ///< undefined: none
};

/// A tensor as float32 on the CPU. @throws Error(unsupported) unless it is a floating-point tensor
[[nodiscard]] at::Tensor widened(const TensorView& tensor);

}  // namespace qcqa
