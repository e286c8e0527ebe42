#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/class_tensors.hpp"
#include "qcqa/checkpoint/checkpoint.hpp"

namespace qcqa {

/// A checkpoint as a model class sees it.
struct ClassNames {
  Checkpoint checkpoint;
  std::map<std::string, std::string> written{};  ///< of a composite: the text model's name -> the folder's
  std::vector<std::string> left_out{};           ///< biases that the class lacks, by their names in the folder
};

/// The checkpoint with its tensors under the names that the model class has for them, matrices as (outputs, inputs),
/// and without the biases that it lacks, as transformers loads it: weights of the base class, wrappers of training
/// tools, an output matrix in the place of the embedding that is tied to it, the text model's tensors in a composite.
/// @param notes  what was done, a sentence each
/// @throws Error(corrupt) when two tensors stand for one; Error(unsupported) for adapters that are not merged
[[nodiscard]] ClassNames with_class_names(const Checkpoint& checkpoint, const ModelConfig& config,
                                          const std::vector<ClassTensor>& tensors, std::vector<std::string>& notes);

}  // namespace qcqa
