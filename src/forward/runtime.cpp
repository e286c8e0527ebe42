#include "forward/runtime.hpp"

#include "qcqa/support/error.hpp"
#include "support/gpu.hpp"

namespace qcqa {

Runtime Runtime::of(const ForwardOptions& options, KvCacheType kv_cache) {
  if (options.device.kind == Device::Kind::cuda) {
    return {gpu_device(options.device.index), options.compute == Compute::bf16 ? at::kBFloat16 : at::kFloat, kv_cache};
  }
  if (options.compute == Compute::bf16) {
    throw Error(ErrorKind::unsupported, "--compute", "bf16 needs a GPU", "--device cpu", "Use --compute f32.");
  }
  return {.kv_cache = kv_cache};
}

}  // namespace qcqa
