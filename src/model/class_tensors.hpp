#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "qcqa/model/model_config.hpp"

namespace qcqa {

/// A tensor that the model class has, or a bias that it could have and does not have by this config.json.
struct ClassTensor {
  enum class Use {
    needed,
    output_head,  ///< needed where logits are; the embedding stands in where the two are tied
    left_out,     ///< a bias that the class does not declare: transformers leaves it out where a file stores one
  };
  std::string name;
  std::vector<std::int64_t> shape;  ///< empty: not described
  Use use = Use::needed;
  bool transposed = false;    ///< files hold it so; see Architecture::transposed
  bool may_be_mxfp4 = false;  ///< see ExpertsDescription::may_be_mxfp4
  /// A tensor that may be stored in the place of this and others; no name: there is none.
  struct Stack {
    std::string name;
    std::vector<std::int64_t> shape;
  };
  Stack stack{};
};

/// The one list of what a checkpoint must hold, by the family's description and config.json. Of a family without a
/// description of its forward pass: the attention, and what is outside the layers.
[[nodiscard]] std::vector<ClassTensor> class_tensors(const ModelConfig& config);

}  // namespace qcqa
