#include "forward/linear.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "forward/cpu_kernels.hpp"
#include "qcqa/checkpoint/float_codec.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

using cpu::kPanel;

/// Token rows per unit of parallel work: with a block of inputs they fit the second-level cache.
constexpr std::int64_t kRowBlock = 96;
/// Least output columns per unit.
constexpr std::int64_t kColumnBlock = 8 * kPanel;

struct RowSource {
  const LinearSource::Part* part;
  std::int64_t row;
};

std::vector<RowSource> rows_of(const LinearSource& source) {
  std::vector<RowSource> rows;
  for (const LinearSource::Part& part : source.parts) {
    for (std::int64_t row = 0; row < part.rows; ++row) rows.push_back({&part, row});
  }
  return rows;
}

void decode_row(const RowSource& source, std::int64_t inputs, float* out) {
  const LinearSource::Part& part = *source.part;
  const std::size_t bytes = part.weight.size() / static_cast<std::size_t>(part.rows);
  decode(part.weight.subspan(static_cast<std::size_t>(source.row) * bytes, bytes), part.dtype,
         std::span(out, static_cast<std::size_t>(inputs)));
}

at::Tensor read_panels(const std::vector<RowSource>& rows, std::int64_t inputs) {
  const auto count = static_cast<std::int64_t>(rows.size());
  at::Tensor panels = at::empty({cpu::panel_count(count), inputs, kPanel});
  float* const data = panels.data_ptr<float>();
  parallel_for(cpu::panel_count(count), [&](std::int64_t panel) {
    const std::int64_t first = panel * kPanel;
    const std::int64_t height = std::min(kPanel, count - first);
    std::vector<float> buffer(static_cast<std::size_t>(height * inputs));
    for (std::int64_t i = 0; i < height; ++i)
      decode_row(rows[static_cast<std::size_t>(first + i)], inputs, &buffer[static_cast<std::size_t>(i * inputs)]);
    cpu::pack_rows(buffer.data(), inputs, height, inputs, data + panel * inputs * kPanel);
  });
  return panels;
}

at::Tensor read_rows(const std::vector<RowSource>& rows, std::int64_t inputs) {
  at::Tensor matrix = at::empty({static_cast<std::int64_t>(rows.size()), inputs});
  float* const data = matrix.data_ptr<float>();
  parallel_for(static_cast<std::int64_t>(rows.size()),
               [&](std::int64_t i) { decode_row(rows[static_cast<std::size_t>(i)], inputs, data + i * inputs); });
  return matrix;
}

at::Tensor read_bias(const LinearSource& source, std::int64_t outputs) {
  if (std::ranges::all_of(source.parts, [](const LinearSource::Part& part) { return part.bias.empty(); })) return {};
  at::Tensor bias = at::zeros({outputs});
  float* data = bias.data_ptr<float>();
  for (const LinearSource::Part& part : source.parts) {
    if (!part.bias.empty()) decode(part.bias, part.bias_dtype, std::span(data, static_cast<std::size_t>(part.rows)));
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
  parts.push_back({weight.bytes, bias ? bias->bytes : std::span<const std::byte>(), weight.shape[0], weight.dtype,
                   bias ? bias->dtype : weight.dtype});
}

Linear::Linear(const LinearSource& source, const Runtime& runtime)
    : packed_(runtime.own_kernels), inputs_(source.inputs) {
  const std::vector<RowSource> rows = rows_of(source);
  outputs_ = static_cast<std::int64_t>(rows.size());
  weight_ = packed_ ? read_panels(rows, inputs_) : read_rows(rows, inputs_).to(runtime.options());
  bias_ = read_bias(source, outputs_);
  if (bias_.defined()) bias_ = bias_.to(runtime.options());
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
  if (packed_) return multiply(x);
  return bias_.defined() ? at::addmm(bias_, x, weight_.t()) : at::mm(x, weight_.t());
}

at::Tensor Linear::multiply(const at::Tensor& x) const {
  const std::int64_t rows = x.size(0);
  at::Tensor y = at::empty({rows, outputs_});
  const float* const x_data = x.data_ptr<float>();
  float* const y_data = y.data_ptr<float>();
  const float* const bias = bias_.defined() ? bias_.data_ptr<float>() : nullptr;
  const std::int64_t row_blocks = (rows + kRowBlock - 1) / kRowBlock;
  const std::int64_t column_blocks = (outputs_ + kColumnBlock - 1) / kColumnBlock;
  parallel_for(row_blocks * column_blocks, [&](std::int64_t unit) {
    const std::int64_t row = unit % row_blocks * kRowBlock;
    const std::int64_t column = unit / row_blocks * kColumnBlock;
    cpu::multiply({.x = x_data + row * inputs_,
                   .x_stride = inputs_,
                   .rows = std::min(kRowBlock, rows - row),
                   .inputs = inputs_,
                   .panels = weight_.data_ptr<float>() + column * inputs_,
                   .panel_stride = inputs_ * kPanel,
                   .outputs = std::min(kColumnBlock, outputs_ - column),
                   .y = y_data + row * outputs_ + column,
                   .y_stride = outputs_,
                   .bias = bias ? bias + column : nullptr});
  });
  return y;
}

at::Tensor widened(const TensorView& tensor) {
  require_float(tensor);
  at::Tensor out = at::empty(tensor.shape);
  decode(tensor.bytes, tensor.dtype, std::span(out.data_ptr<float>(), static_cast<std::size_t>(out.numel())));
  return out;
}

}  // namespace qcqa
