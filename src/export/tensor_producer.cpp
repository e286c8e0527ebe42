#include "export/tensor_producer.hpp"

#include <algorithm>
#include <functional>

#include "qcqa/merge/mean.hpp"
#include "support/parallel.hpp"

namespace qcqa {
namespace {

std::size_t size_of(Dtype dtype) { return static_cast<std::size_t>(dtype_bits(dtype) / 8); }

/// Writes `units` pieces of `unit_bytes` each, as many at a time as the buffer holds; fill(unit, out) forms one.
void write_in_units(const OutputTensor& tensor, CheckpointWriter& writer, std::vector<std::byte>& buffer, std::size_t units,
                    std::size_t unit_bytes, const std::function<void(std::size_t, std::span<std::byte>)>& fill) {
  const std::size_t batch = std::clamp<std::size_t>(kExportBufferBytes / std::max<std::size_t>(unit_bytes, 1), 1, std::max<std::size_t>(units, 1));
  buffer.resize(std::max(buffer.size(), batch * unit_bytes));
  for (std::size_t begin = 0; begin < units; begin += batch) {
    const std::size_t count = std::min(batch, units - begin);
    parallel_for(count, [&](std::size_t i) { fill(begin + i, std::span(buffer).subspan(i * unit_bytes, unit_bytes)); });
    writer.write(tensor.spec.name, std::span<const std::byte>(buffer).first(count * unit_bytes), begin * unit_bytes);
  }
}

std::span<const std::byte> bytes_of(const HeadRows& head, bool bias) { return bias ? head.bias : head.weight; }

void write_heads(const OutputTensor& tensor, CheckpointWriter& writer, std::vector<std::byte>& buffer) {
  const AttentionLayer& layer = *tensor.layer;
  const Dtype from = tensor.source->dtype;
  const std::size_t elements = static_cast<std::size_t>(layer.head_dim) * static_cast<std::size_t>(tensor.bias ? 1 : layer.hidden_size);
  write_in_units(tensor, writer, buffer, tensor.rows.size(), elements * size_of(tensor.spec.dtype),
                 [&](std::size_t index, std::span<std::byte> out) {
                   const RowSource& row = tensor.rows[index];
                   std::vector<std::span<const std::byte>> members;
                   if (row.role == HeadRole::query) {
                     members.push_back(bytes_of(layer.query[static_cast<std::size_t>(row.query_head)], tensor.bias));
                   } else {
                     const auto& heads = row.role == HeadRole::key ? layer.key : layer.value;
                     for (const std::uint8_t head : row.kv_members) members.push_back(bytes_of(heads[head], tensor.bias));
                   }
                   merge_mean(members, from, tensor.spec.dtype, out);
                 });
}

void write_columns(const OutputTensor& tensor, CheckpointWriter& writer, std::vector<std::byte>& buffer) {
  const Dtype from = tensor.source->dtype;
  const auto head_dim = static_cast<std::size_t>(tensor.layer->head_dim);
  const auto rows = static_cast<std::size_t>(tensor.spec.shape[0]);
  const std::size_t in_row = tensor.column_order.size() * head_dim * size_of(from);
  const std::size_t in_block = head_dim * size_of(from);
  const std::size_t out_block = head_dim * size_of(tensor.spec.dtype);
  write_in_units(tensor, writer, buffer, rows, tensor.column_order.size() * out_block,
                 [&](std::size_t row, std::span<std::byte> out) {
                   const auto source = tensor.source->bytes.subspan(row * in_row, in_row);
                   for (std::size_t i = 0; i < tensor.column_order.size(); ++i) {
                     convert_elements(source.subspan(static_cast<std::size_t>(tensor.column_order[i]) * in_block, in_block), from,
                                      tensor.spec.dtype, out.subspan(i * out_block, out_block));
                   }
                 });
}

void write_converted(const OutputTensor& tensor, CheckpointWriter& writer, std::vector<std::byte>& buffer) {
  static constexpr std::size_t kUnit = 1 << 16;  // elements
  const std::size_t in = size_of(tensor.source->dtype);
  const std::size_t out_size = size_of(tensor.spec.dtype);
  const std::size_t count = tensor.source->bytes.size() / in;
  const std::size_t whole = count / kUnit;
  write_in_units(tensor, writer, buffer, whole, kUnit * out_size, [&](std::size_t unit, std::span<std::byte> out) {
    convert_elements(tensor.source->bytes.subspan(unit * kUnit * in, kUnit * in), tensor.source->dtype, tensor.spec.dtype, out);
  });
  if (const std::size_t rest = count - whole * kUnit; rest > 0) {
    std::vector<std::byte> tail(rest * out_size);
    convert_elements(tensor.source->bytes.subspan(whole * kUnit * in), tensor.source->dtype, tensor.spec.dtype, tail);
    writer.write(tensor.spec.name, tail, whole * kUnit * out_size);
  }
}

}  // namespace

void write_tensor(const OutputTensor& tensor, CheckpointWriter& writer, std::vector<std::byte>& buffer) {
  switch (tensor.kind) {
    case OutputTensor::Kind::heads: write_heads(tensor, writer, buffer); break;
    case OutputTensor::Kind::columns: write_columns(tensor, writer, buffer); break;
    case OutputTensor::Kind::copy:
      if (tensor.source->dtype == tensor.spec.dtype) {
        writer.copy(tensor.spec.name, *tensor.source);
      } else {
        write_converted(tensor, writer, buffer);
      }
  }
  // Mapped pages count as this process's memory until they are let go.
  Checkpoint::done_with(tensor.source->bytes);
}

}  // namespace qcqa
