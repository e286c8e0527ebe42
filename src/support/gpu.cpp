#include "support/gpu.hpp"

#include <torch/cuda.h>

namespace qcqa {

int gpu_count() { return torch::cuda::is_available() ? static_cast<int>(torch::cuda::device_count()) : 0; }

at::Device gpu_device(int index) { return {at::kCUDA, static_cast<at::DeviceIndex>(index)}; }

}  // namespace qcqa
