#include "fitness/gram_cuda.hpp"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include "qcqa/support/error.hpp"
#include "support/gpu.hpp"

namespace qcqa {
namespace {

at::ScalarType scalar_type(Dtype dtype) {
  switch (dtype) {
    case Dtype::f16:
      return at::kHalf;
    case Dtype::bf16:
      return at::kBFloat16;
    case Dtype::f32:
      return at::kFloat;
    case Dtype::f64:
      return at::kDouble;
    default:
      throw Error(ErrorKind::internal, "gram_on_cuda", "attention weights are floating point");
  }
}

at::Tensor on_gpu(const TensorSlice& slice, const at::Device& gpu) {
  std::vector<std::byte> buffer;
  const std::span<const std::byte> bytes = slice.bytes(buffer);
  // from_blob wants a mutable pointer; the tensor is only read.
  auto* data = const_cast<std::byte*>(bytes.data());
  const auto raw = at::from_blob(data, {static_cast<std::int64_t>(bytes.size())}, at::TensorOptions().dtype(at::kByte));
  return raw.to(gpu).view(scalar_type(slice.dtype())).to(at::kDouble);
}

std::vector<double> gram(const std::vector<HeadRows>& heads, const at::Device& gpu) {
  std::vector<at::Tensor> rows;
  for (const HeadRows& head : heads) {
    at::Tensor row = on_gpu(head.weight, gpu);
    if (!head.bias.empty()) row = at::cat({row, on_gpu(head.bias, gpu)});
    rows.push_back(row);
  }
  const at::Tensor stacked = at::stack(rows);
  const at::Tensor product = at::matmul(stacked, stacked.t()).to(at::kCPU).contiguous();
  return {product.data_ptr<double>(), product.data_ptr<double>() + product.numel()};
}

}  // namespace

HeadGram gram_on_cuda(const AttentionLayer& layer, const Device& device) {
  const c10::InferenceMode no_gradients;
  const at::Device gpu = gpu_device(device.index);
  return {layer.kv_heads, gram(layer.key, gpu), gram(layer.value, gpu)};
}

}  // namespace qcqa
