#include "forward/runtime.hpp"

#include "qcqa/support/error.hpp"

namespace qcqa {

Runtime Runtime::of(const ForwardOptions& options) {
  if (options.device.kind == Device::Kind::cuda) {
    const at::Device gpu(at::kCUDA, static_cast<at::DeviceIndex>(options.device.index));
    return {gpu, options.compute == Compute::bf16 ? at::kBFloat16 : at::kFloat};
  }
  if (options.compute == Compute::bf16) {
    throw Error(ErrorKind::unsupported, "--compute", "bf16 needs a GPU", "--device cpu", "Use --compute f32.");
  }
  return {};
}

}  // namespace qcqa
