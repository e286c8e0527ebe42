#include "qcqa/forward/runnable.hpp"

#include "forward/forward_spec.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {

RunnableModel require_runnable(const Model& model) {
  const ForwardSpec spec = read_forward_spec(model);
  const Checkpoint& checkpoint = model.checkpoint();
  const TensorView& embedding = checkpoint.at(spec.names->embedding + ".weight");
  const int hidden_size = model.layers().front().hidden_size;
  if (embedding.shape.size() != 2 || embedding.shape[1] != hidden_size || embedding.shape[0] < 1) {
    throw Error(ErrorKind::corrupt, embedding.file.string() + ": " + embedding.name,
                "the embedding must be a matrix of " + std::to_string(hidden_size) + " columns");
  }
  if (!checkpoint.find(spec.names->head + ".weight") && !spec.tied) {
    throw Error(ErrorKind::not_found, model.path().string(),
                "needs the tensor " + spec.names->head + ".weight, or tied embeddings", "neither");
  }
  return {static_cast<std::size_t>(embedding.shape[0]), static_cast<std::size_t>(spec.max_positions)};
}

}  // namespace qcqa
