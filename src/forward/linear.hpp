#pragma once

#include <span>
#include <vector>

#include "forward/runtime.hpp"
#include "qcqa/checkpoint/checkpoint.hpp"

namespace qcqa {

/// Rows of a weight matrix and of its bias where they lie in a checkpoint, in the order wanted.
struct LinearSource {
  struct Part {
    TensorSlice weight;  ///< `rows` rows
    TensorSlice bias;    ///< `rows` elements, or empty for zeros
    std::int64_t rows = 0;
  };
  std::vector<Part> parts;
  std::int64_t inputs = 0;

  /// All rows of a tensor (outputs, inputs).
  void add(const TensorView& weight, const TensorView* bias);
  /// One of the `count` matrices of a tensor (count, outputs, inputs), and of its biases (count, outputs) if any.
  void add_of_stack(const TensorView& stack, const TensorView* biases, std::int64_t index, std::int64_t count);
};

/// y = x W^T + b. The tensors may be anybody's: a checkpoint's, or ones that gradients are taken of.
struct Linear {
  at::Tensor weight;  ///< (outputs, inputs)
  at::Tensor bias;    ///< (outputs), undefined: none

  [[nodiscard]] std::int64_t inputs() const { return weight.size(1); }
  [[nodiscard]] std::int64_t outputs() const { return weight.size(0); }

  /// @param x (rows, inputs)  @returns (rows, outputs)
  [[nodiscard]] at::Tensor operator()(const at::Tensor& x) const;
};

/// Reads and widens the weights.
[[nodiscard]] Linear read_linear(const LinearSource& source, const Runtime& runtime);

/// A tensor as float32 on the CPU. @throws Error(unsupported) unless it is a floating-point tensor
[[nodiscard]] at::Tensor widened(const TensorView& tensor);

}  // namespace qcqa
