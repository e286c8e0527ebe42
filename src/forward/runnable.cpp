#include "qcqa/forward/runnable.hpp"

#include "forward/forward_spec.hpp"
#include "qcqa/model/output_head.hpp"

namespace qcqa {

RunnableModel require_runnable(const Model& model) {
  const ForwardSpec spec = read_forward_spec(model);
  require_output_head(model);
  return {static_cast<std::size_t>(model.settings().shape().vocabulary), static_cast<std::size_t>(spec.max_positions)};
}

}  // namespace qcqa
