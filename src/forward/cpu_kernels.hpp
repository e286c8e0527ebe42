#pragma once

#include <cstdint>

// Float32 arithmetic of the forward pass on CPUs. LibTorch alone would not do: Debian's is built on a BLAS that may be
// the slow reference one. Each function runs on the calling thread with the widest vectors of this processor, and each
// element of a result is computed in the same order whatever the shape of the block it is computed in: results depend
// neither on the number of threads nor on how tokens are batched.

namespace qcqa::cpu {

/// Columns of a panel. A packed matrix (outputs, inputs) is a sequence of panels [inputs][kPanel], zero-padded.
inline constexpr std::int64_t kPanel = 32;

[[nodiscard]] constexpr std::int64_t panel_count(std::int64_t outputs) { return (outputs + kPanel - 1) / kPanel; }

/// y = x W^T (+ bias) for some rows of x and some panels of W.
struct Product {
  const float* x;  ///< (rows, inputs), row stride x_stride
  std::int64_t x_stride, rows, inputs;
  const float* panels;        ///< of the first output
  std::int64_t panel_stride;  ///< floats from one panel to the next
  std::int64_t outputs;
  float* y;  ///< (rows, outputs), row stride y_stride
  std::int64_t y_stride;
  const float* bias = nullptr;  ///< (outputs)
};
void multiply(const Product& product);

/// One panel from `count` <= kPanel rows of `inputs` floats each, row stride `stride`.
void pack_rows(const float* rows, std::int64_t stride, std::int64_t count, std::int64_t inputs, float* panel);

/// Scores to probabilities, in place: softmax over `count` scores, each first multiplied by scale and, when softcap is
/// positive, bounded to softcap * tanh(score / softcap).
void softmax(float* scores, std::int64_t count, float scale, float softcap);

[[nodiscard]] float dot(const float* a, const float* b, std::int64_t count);
/// y += factor * x
void add_scaled(float* y, const float* x, float factor, std::int64_t count);

/// y = x / rms(x) * weight
void rms_norm(const float* x, const float* weight, float epsilon, std::int64_t count, float* y);

/// gate = silu(gate) * up
void silu_times(float* gate, const float* up, std::int64_t count);

/// Rotates the planes (i, i + half) of one head.
void rotate(float* head, const float* cosines, const float* sines, std::int64_t half);

[[nodiscard]] double log_sum_exp(const float* logits, std::int64_t count);
[[nodiscard]] std::int64_t argmax(const float* logits, std::int64_t count);
/// KL divergence of softmax(other) from softmax(reference), given both log_sum_exp.
[[nodiscard]] double kl_divergence(const float* reference, double reference_log_sum, const float* other,
                                   double other_log_sum, std::int64_t count);

}  // namespace qcqa::cpu
