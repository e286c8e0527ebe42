// A second device for machines without one: LibTorch's spare backend (PrivateUse1), whose memory no host code can read
// and whose operations refuse tensors of the CPU, as a GPU's do. Each operation itself is the CPU's. What runs here has
// every tensor where it has to be; what CUDA's own kernels do, only a GPU shows.
//
// Linked into a program in place of support/gpu.cpp, it is what `--device cuda` means there.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/library.h>

#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>
#if __has_include(<ATen/detail/PrivateUse1HooksInterface.h>)
#include <ATen/detail/PrivateUse1HooksInterface.h>
#endif

#include "support/gpu.hpp"

namespace qcqa {

int gpu_count() { return 1; }
at::Device gpu_device(int index) { return {at::kPrivateUse1, static_cast<at::DeviceIndex>(index)}; }

namespace {

/// The bit of an address that no process has set: to read there is a fault.
constexpr std::uintptr_t kElsewhere = std::uintptr_t{1} << 63;

void* elsewhere(const void* host) {
  return reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(host) ^ kElsewhere);
}

bool is_ours(const at::Tensor& tensor) { return tensor.defined() && tensor.device().type() == at::kPrivateUse1; }

const void* start_of(const at::Tensor& tensor) { return tensor.storage().data(); }

void take_shape(const at::Tensor& tensor, const at::Tensor& like) {
  tensor.unsafeGetTensorImpl()->set_storage_offset(like.storage_offset());
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(like.sizes(), like.strides());
}

/// A tensor on `device` with the bytes of `tensor`'s storage, wherever they are; it keeps `tensor` alive.
at::Tensor same_bytes(const at::Tensor& tensor, at::Device device, c10::Allocator* allocator) {
  auto* owner = new at::Tensor(tensor);
  c10::DataPtr data(
      elsewhere(start_of(tensor)), owner, [](void* pointer) { delete static_cast<at::Tensor*>(pointer); }, device);
  c10::Storage storage(c10::Storage::use_byte_size_t(), tensor.storage().nbytes(), std::move(data), allocator,
                       allocator != nullptr);
  const auto key = device.is_cpu() ? c10::DispatchKey::CPU : c10::DispatchKey::PrivateUse1;
  at::Tensor result =
      at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(key), tensor.dtype());
  take_shape(result, tensor);
  return result;
}

at::Tensor on_host(const at::Tensor& tensor) { return same_bytes(tensor, at::kCPU, c10::GetAllocator(at::kCPU)); }

/// Bytes that one tensor there may have, as on a GPU that others have filled: QCQA_STRICT_DEVICE_BYTES.
std::size_t most_bytes() {
  static const char* const limit = std::getenv("QCQA_STRICT_DEVICE_BYTES");
  return limit != nullptr ? std::strtoull(limit, nullptr, 10) : SIZE_MAX;
}

at::Tensor on_device(const at::Tensor& tensor) {
  const std::size_t bytes = tensor.storage().nbytes();
  TORCH_CHECK_WITH(OutOfMemoryError, bytes <= most_bytes(), "CUDA out of memory. Tried to allocate ", bytes, " bytes");
  return same_bytes(tensor, gpu_device(0), nullptr);
}

/// The part of `base`'s memory that `view`, made on the host, shows.
at::Tensor device_view(const at::Tensor& base, const at::Tensor& view) {
  at::Tensor result = at::detail::make_tensor<c10::TensorImpl>(c10::TensorImpl::VIEW, c10::Storage(base.storage()),
                                                               base.key_set(), view.dtype());
  take_shape(result, view);
  return result;
}

/// Gives `tensor` the memory and shape that its host side has after an operation, which may have resized it.
void adopt(const at::Tensor& tensor, const at::Tensor& host) {
  if (start_of(tensor) != elsewhere(start_of(host))) {
    tensor.unsafeGetTensorImpl()->set_storage_keep_dtype(on_device(host).storage());
  }
  if (tensor.sizes() != host.sizes() || tensor.strides() != host.strides()) take_shape(tensor, host);
}

c10::IValue mapped(const c10::IValue& tensors, const auto& map) {
  c10::List<at::Tensor> list;
  for (const at::Tensor& tensor : tensors.toTensorVector()) list.push_back(map(tensor));
  return list;
}

/// One operation: its arguments looked at from the host, the CPU's kernel, its results sent back.
class Operation {
 public:
  Operation(const c10::OperatorHandle& op, bool mixes) : op_(op), mixes_(mixes) {}

  void run(torch::jit::Stack& stack) {
    const auto& schema = op_.schema();
    const std::size_t begin = stack.size() - schema.arguments().size();
    for (std::size_t i = begin; i < stack.size(); ++i) stack[i] = argument(stack[i]);
    op_.callBoxed(&stack);
    for (const auto& [tensor, host] : seen_) {
      if (is_ours(tensor)) adopt(tensor, host);
    }
    const std::size_t first = stack.size() - schema.returns().size();
    for (std::size_t i = first; i < stack.size(); ++i) stack[i] = result(stack[i]);
  }

 private:
  at::Tensor argument(const at::Tensor& tensor) {
    if (!tensor.defined()) return tensor;
    if (!is_ours(tensor)) {
      TORCH_CHECK(mixes_ || tensor.dim() == 0, toString(op_.operator_name()),
                  ": expected all tensors on one device, got ", tensor.sizes(), " on ", tensor.device());
      return seen_.emplace_back(tensor, tensor).second;
    }
    return seen_.emplace_back(tensor, on_host(tensor)).second;
  }

  c10::IValue argument(const c10::IValue& value) {
    if (value.isTensor()) return argument(value.toTensor());
    if (value.isTensorList()) return mapped(value, [&](const at::Tensor& tensor) { return argument(tensor); });
    if (value.isList() && value.toList().elementType()->kind() == c10::TypeKind::OptionalType) {
      c10::List<c10::optional<at::Tensor>> list;
      for (const c10::IValue& item : value.toListRef()) {
        list.push_back(item.isNone() ? c10::optional<at::Tensor>() : argument(item.toTensor()));
      }
      return list;
    }
    if (value.isDevice() && value.toDevice().type() == at::kPrivateUse1) return at::Device(at::kCPU);
    return value;
  }

  at::Tensor result(const at::Tensor& host) {
    if (!host.defined()) return host;
    for (const auto& [tensor, seen] : seen_) {
      if (seen.is_same(host)) return tensor;
    }
    for (const auto& [tensor, seen] : seen_) {
      if (seen.storage().is_alias_of(host.storage())) return device_view(tensor, host);
    }
    return on_device(host);
  }

  c10::IValue result(const c10::IValue& value) {
    if (value.isTensor()) return result(value.toTensor());
    if (value.isTensorList()) return mapped(value, [&](const at::Tensor& host) { return result(host); });
    return value;
  }

  const c10::OperatorHandle& op_;
  bool mixes_;
  std::vector<std::pair<at::Tensor, at::Tensor>> seen_;  ///< arguments, and what the host sees of them
};

void compute(const c10::OperatorHandle& op, torch::jit::Stack* stack) { Operation(op, false).run(*stack); }
void transfer(const c10::OperatorHandle& op, torch::jit::Stack* stack) { Operation(op, true).run(*stack); }

}  // namespace

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) { library.fallback(torch::CppFunction::makeFromBoxedFunction<&compute>()); }
TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("copy_", torch::CppFunction::makeFromBoxedFunction<&transfer>());
}

namespace {

/// One device with one stream, always current.
struct Guard final : c10::impl::DeviceGuardImplInterface {
  at::DeviceType type() const override { return at::kPrivateUse1; }
  at::Device exchangeDevice(at::Device) const override { return gpu_device(0); }
  at::Device getDevice() const override { return gpu_device(0); }
  void setDevice(at::Device) const override {}
  void uncheckedSetDevice(at::Device) const noexcept override {}
  c10::Stream getStream(at::Device) const noexcept override { return the_stream(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return the_stream(); }
  at::DeviceIndex deviceCount() const noexcept override { return 1; }

 private:
  static c10::Stream the_stream() { return c10::Stream(c10::Stream::DEFAULT, gpu_device(0)); }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

#if __has_include(<ATen/detail/PrivateUse1HooksInterface.h>)
/// Without these, gradients of LibTorch 2 ask CUDA for the streams of any device.
struct Hooks : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(at::DeviceIndex) const override { return true; }
};
[[maybe_unused]] const bool kHooksRegistered = [] {
  static Hooks hooks;
  at::RegisterPrivateUse1HooksInterface(&hooks);
  c10::register_privateuse1_backend("strict");
  return true;
}();
#endif

}  // namespace

}  // namespace qcqa
