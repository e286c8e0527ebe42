#pragma once

#include <c10/core/Device.h>

namespace qcqa {

/// GPUs that LibTorch can use.
[[nodiscard]] int gpu_count();

/// LibTorch's name of one. (Tests link a device of their own instead: tests/device.)
[[nodiscard]] at::Device gpu_device(int index);

}  // namespace qcqa
