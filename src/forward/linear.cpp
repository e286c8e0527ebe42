#include "forward/linear.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "qcqa/support/error.hpp"
#include "support/parallel.hpp"

namespace qcqa {
namespace {

/// Elements that a thread converts at a time.
constexpr std::int64_t kPiece = std::int64_t{1} << 18;

/// Some rows of a part, and where they go.
struct Piece {
  const LinearSource::Part* part;
  std::int64_t first, count;  ///< rows of the part
  std::int64_t target;        ///< row of the matrix
};

std::vector<Piece> pieces_of(const LinearSource& source) {
  const std::int64_t most = std::max<std::int64_t>(1, kPiece / source.inputs);
  std::vector<Piece> pieces;
  std::int64_t target = 0;
  for (const LinearSource::Part& part : source.parts) {
    for (std::int64_t first = 0; first < part.rows; first += most) {
      pieces.push_back({&part, first, std::min(most, part.rows - first), target + first});
    }
    target += part.rows;
  }
  return pieces;
}

at::Tensor read_rows(const LinearSource& source) {
  const std::vector<Piece> pieces = pieces_of(source);
  const std::int64_t rows = pieces.empty() ? 0 : pieces.back().target + pieces.back().count;
  at::Tensor matrix = at::empty({rows, source.inputs});
  float* const data = matrix.data_ptr<float>();
  parallel_for(pieces.size(), [&](std::size_t i) {
    const Piece& piece = pieces[i];
    const auto elements = static_cast<std::size_t>(piece.count * source.inputs);
    piece.part->weight.part(static_cast<std::uint64_t>(piece.first * source.inputs), elements)
        .read(std::span(data + piece.target * source.inputs, elements));
  });
  return matrix;
}

at::Tensor read_bias(const LinearSource& source, std::int64_t outputs) {
  if (std::ranges::all_of(source.parts, [](const LinearSource::Part& part) { return part.bias.empty(); })) return {};
  at::Tensor bias = at::zeros({outputs});
  float* data = bias.data_ptr<float>();
  for (const LinearSource::Part& part : source.parts) {
    if (!part.bias.empty()) part.bias.read(std::span(data, static_cast<std::size_t>(part.rows)));
    data += part.rows;
  }
  return bias;
}

void require_float(const TensorView& tensor) {
  if (is_attention_dtype(tensor.dtype)) return;
  throw Error(ErrorKind::unsupported, tensor.file.string() + ": " + tensor.name,
              "weights must be F16, BF16, F32 or F64", std::string(dtype_name(tensor.dtype)),
              "Dequantise the checkpoint first.");
}

}  // namespace

void LinearSource::add(const TensorView& weight, const TensorView* bias) {
  require_float(weight);
  if (bias) require_float(*bias);
  const bool fits = weight.shape.size() == 2 && (inputs == 0 || weight.shape[1] == inputs) &&
                    (!bias || bias->shape == std::vector<std::int64_t>{weight.shape[0]});
  if (!fits) {
    throw Error(ErrorKind::corrupt, weight.file.string() + ": " + weight.name,
                "must be a matrix of " + std::to_string(inputs) + " columns with a bias of as many elements as rows");
  }
  inputs = weight.shape[1];
  parts.push_back({weight.all(), bias ? bias->all() : TensorSlice(), weight.shape[0]});
}

void LinearSource::add_of_stack(const TensorView& stack, const TensorView* biases, std::int64_t index,
                                std::int64_t count) {
  require_float(stack);
  if (biases) require_float(*biases);
  if (stack.shape.size() != 3 || stack.shape[0] != count || stack.shape[2] == 0 ||
      (inputs != 0 && stack.shape[2] != inputs) ||
      (biases && biases->shape != std::vector<std::int64_t>{count, stack.shape[1]})) {
    throw Error(ErrorKind::corrupt, stack.file.string() + ": " + stack.name,
                "must be " + std::to_string(count) +
                    " matrices of as many columns as those beside them, biases of as many elements as rows");
  }
  inputs = stack.shape[2];
  const auto entries = static_cast<std::uint64_t>(stack.shape[1] * inputs);
  parts.push_back({{stack, static_cast<std::uint64_t>(index) * entries, entries},
                   biases ? biases->rows(index, 1) : TensorSlice(),
                   stack.shape[1]});
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
  // One row is bound by memory: a matrix product would first copy the weights into its own order.
  if (x.size(0) == 1 && x.is_cpu()) {
    const at::Tensor row = x.squeeze(0);
    return (bias.defined() ? at::addmv(bias, weight, row) : at::mv(weight, row)).unsqueeze(0);
  }
  return bias.defined() ? at::addmm(bias, x, weight.t()) : at::mm(x, weight.t());
}

Linear read_linear(const LinearSource& source, const Runtime& runtime) {
  at::Tensor weight = read_rows(source);
  at::Tensor bias = read_bias(source, weight.size(0));
  return {weight.to(runtime.options()), bias.defined() ? bias.to(runtime.options()) : bias};
}

at::Tensor widened(const TensorView& tensor) {
  require_float(tensor);
  at::Tensor out = at::empty(tensor.shape);
  tensor.all().read(std::span(out.data_ptr<float>(), static_cast<std::size_t>(out.numel())));
  return out;
}

}  // namespace qcqa
