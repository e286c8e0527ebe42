#include "model/expert_stack.hpp"

#include "checkpoint/mxfp4_values.hpp"
#include "model/completeness.hpp"
#include "model/transposed_view.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

bool is_bytes(const TensorView& tensor) { return dtype_bytes(tensor.dtype) == 1 && !tensor.derived; }

TensorView from_mxfp4(const TensorView& blocks, const TensorView& scales) {
  constexpr std::int64_t kBytes = Mxfp4Values::kBlock / 2;
  std::vector<std::int64_t> shape = scales.shape;
  shape.push_back(kBytes);
  if (scales.shape.size() != 3 || blocks.shape != shape || !is_bytes(blocks) || !is_bytes(scales)) {
    throw Error(ErrorKind::corrupt, blocks.file.string() + ": " + blocks.name,
                "must be " + shape_text(shape) + " bytes by the scales beside it", shape_text(blocks.shape));
  }
  TensorView view = blocks;
  view.dtype = Dtype::f32;
  view.shape = {scales.shape[0], scales.shape[1], scales.shape[2] * Mxfp4Values::kBlock};
  view.derived = std::make_shared<const Mxfp4Values>(blocks.stored, scales.stored);
  return view;
}

}  // namespace

TensorView expert_stack(const Checkpoint& checkpoint, const ExpertsDescription& experts, const std::string& name) {
  const std::string whole = experts.weight_of(name);
  const TensorView* blocks = experts.may_be_mxfp4 ? checkpoint.find(whole + kMxfp4Blocks) : nullptr;
  if (blocks) return from_mxfp4(*blocks, checkpoint.at(whole + kMxfp4Scales));
  const TensorView& stack = checkpoint.at(whole);
  return experts.are_parameters && stack.shape.size() == 3 ? transposed_view(stack) : stack;
}

}  // namespace qcqa
