#pragma once

#include "qcqa/support/device.hpp"

namespace qcqa {

/// The type that a forward pass computes in. Norms, softmax and everything after the logits are float32 in any case.
enum class Compute {
  f32,
  bf16,  ///< on a GPU only
};

struct ForwardOptions {
  Device device{};
  Compute compute = Compute::f32;
};

}  // namespace qcqa
