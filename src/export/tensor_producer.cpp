#include "export/tensor_producer.hpp"

#include <algorithm>
#include <atomic>
#include <functional>

#include "checkpoint/finite.hpp"
#include "model/transposed_view.hpp"
#include "qcqa/checkpoint/float_codec.hpp"
#include "qcqa/support/error.hpp"
#include "support/parallel.hpp"

namespace qcqa {
namespace {

[[noreturn]] void refuse_output(const OutputTensor& tensor);

struct Output {
  const OutputTensor& tensor;
  TensorSink& writer;
  std::vector<std::byte>& buffer;
  std::uint64_t written = 0;

  /// Writes `units` pieces of `unit_bytes` each, as many at a time as the buffer holds; fill(unit, out) forms one.
  /// Every one is looked at once more while it is in the cache: nothing is written that is not finite.
  void write_units(std::size_t units, std::size_t unit_bytes,
                   const std::function<void(std::size_t, std::span<std::byte>)>& fill) {
    const std::size_t batch = std::clamp<std::size_t>(kExportBufferBytes / std::max<std::size_t>(unit_bytes, 1), 1,
                                                      std::max<std::size_t>(units, 1));
    buffer.resize(std::max(buffer.size(), batch * unit_bytes));
    for (std::size_t begin = 0; begin < units; begin += batch) {
      const std::size_t count = std::min(batch, units - begin);
      std::atomic<bool> finite = true;
      parallel_for(count, [&](std::size_t i) {
        const auto unit = std::span(buffer).subspan(i * unit_bytes, unit_bytes);
        fill(begin + i, unit);
        if (!all_finite(unit, tensor.spec.dtype)) finite = false;
      });
      if (!finite && !is_computed_buffer(tensor.spec.name)) refuse_output(tensor);
      writer.write(tensor.spec.name, std::span<const std::byte>(buffer).first(count * unit_bytes), written);
      written += count * unit_bytes;
    }
  }

  /// Elements of the input, one after another, in the output's type.
  void write_converted(const TensorSlice& source) {
    static constexpr std::size_t kUnit = 1 << 16;  // elements
    const std::size_t count = source.size();
    const std::size_t whole = count / kUnit;
    const auto convert = [&](std::size_t first, std::size_t length, std::span<std::byte> out) {
      std::vector<std::byte> made;
      const auto bytes = source.part(first, length).bytes(made);
      convert_elements(bytes, source.dtype(), tensor.spec.dtype, out);
    };
    write_units(whole, kUnit * dtype_bytes(tensor.spec.dtype),
                [&](std::size_t unit, std::span<std::byte> out) { convert(unit * kUnit, kUnit, out); });
    const std::size_t rest = count - whole * kUnit;
    if (rest == 0) return;
    write_units(1, rest * dtype_bytes(tensor.spec.dtype),
                [&](std::size_t, std::span<std::byte> out) { convert(whole * kUnit, rest, out); });
  }
};

const TensorSlice& slice_of(const HeadRows& head, HeadPart part) {
  switch (part) {
    case HeadPart::bias:
      return head.bias;
    case HeadPart::norm:
      return head.norm;
    case HeadPart::sink:
      return head.sink;
    case HeadPart::weight:
      break;
  }
  return head.weight;
}

/// Rows i and i + half of `rows` become rows 2i and 2i + 1.
void make_rotary_neighbours(std::span<std::byte> rows, std::size_t count) {
  const std::vector<std::byte> before(rows.begin(), rows.end());
  const std::size_t size = rows.size() / count;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t from = i / 2 + (i % 2) * (count / 2);
    std::ranges::copy(std::span(before).subspan(from * size, size),
                      rows.begin() + static_cast<std::ptrdiff_t>(i * size));
  }
}

void write_heads(Output& output) {
  const OutputTensor& tensor = output.tensor;
  const AttentionLayer& layer = *tensor.layer;
  const std::size_t head_dim = tensor.part == HeadPart::sink ? 1 : static_cast<std::size_t>(layer.head_dim);
  const std::size_t elements =
      head_dim * static_cast<std::size_t>(tensor.part == HeadPart::weight ? layer.hidden_size : 1);
  output.write_units(tensor.rows.size(), elements * dtype_bytes(tensor.spec.dtype),
                     [&](std::size_t index, std::span<std::byte> out) {
                       const HeadSlot& row = tensor.rows[index];
                       if (row.head == kZeroHead) {
                         std::ranges::fill(out, std::byte{0});
                         return;
                       }
                       const HeadRows& head = layer.heads(row.role)[static_cast<std::size_t>(row.head)];
                       const TensorSlice& slice = slice_of(head, tensor.part);
                       std::vector<std::byte> made;
                       convert_elements(slice.bytes(made), slice.dtype(), tensor.spec.dtype, out);
                       if (tensor.rotary_neighbours) make_rotary_neighbours(out, head_dim);
                     });
}

void write_columns(Output& output) {
  const OutputTensor& tensor = output.tensor;
  const Dtype from = tensor.source->dtype;
  const auto rows = static_cast<std::size_t>(tensor.source->shape[0]);
  const std::size_t in_block = static_cast<std::size_t>(tensor.column_block) * dtype_bytes(from);
  const std::size_t out_block = static_cast<std::size_t>(tensor.column_block) * dtype_bytes(tensor.spec.dtype);
  output.write_units(rows, tensor.column_order.size() * out_block, [&](std::size_t row, std::span<std::byte> out) {
    std::vector<std::byte> made;
    const auto source = tensor.source->rows(static_cast<std::int64_t>(row), 1).bytes(made);
    for (std::size_t i = 0; i < tensor.column_order.size(); ++i) {
      const auto block = out.subspan(i * out_block, out_block);
      if (const int head = tensor.column_order[i]; head == kZeroHead) {
        std::ranges::fill(block, std::byte{0});
      } else {
        convert_elements(source.subspan(static_cast<std::size_t>(head) * in_block, in_block), from, tensor.spec.dtype,
                         block);
      }
    }
  });
}

void write_ranges(Output& output) {
  std::size_t row_elements = 1;
  for (std::size_t i = 1; i < output.tensor.spec.shape.size(); ++i) {
    row_elements *= static_cast<std::size_t>(output.tensor.spec.shape[i]);
  }
  for (const RowRange& range : output.tensor.ranges) {
    const auto count = static_cast<std::size_t>(range.count);
    if (range.source) {
      output.write_converted(range.source->rows(range.first, range.count));
    } else {
      output.write_units(count, row_elements * dtype_bytes(output.tensor.spec.dtype),
                         [](std::size_t, std::span<std::byte> out) { std::ranges::fill(out, std::byte{0}); });
    }
  }
}

void write_values(Output& output) {
  output.write_units(
      1, output.tensor.values.size() * dtype_bytes(output.tensor.spec.dtype),
      [&](std::size_t, std::span<std::byte> out) { encode(output.tensor.values, output.tensor.spec.dtype, out); });
}

void form(Output& output) {
  switch (output.tensor.kind) {
    case OutputTensor::Kind::heads:
      return write_heads(output);
    case OutputTensor::Kind::columns:
      return write_columns(output);
    case OutputTensor::Kind::ranges:
      return write_ranges(output);
    case OutputTensor::Kind::values:
      return write_values(output);
    case OutputTensor::Kind::copy:
      return output.write_converted(output.tensor.source->all());
  }
}

std::vector<const TensorView*> sources_of(const OutputTensor& tensor) {
  std::vector<const TensorView*> sources;
  if (tensor.source) sources.push_back(tensor.source);
  for (const RowRange& range : tensor.ranges) {
    if (range.source) sources.push_back(range.source);
  }
  if (tensor.kind != OutputTensor::Kind::heads) return sources;
  for (const auto* heads : {&tensor.layer->query, &tensor.layer->key, &tensor.layer->value, &tensor.layer->gate}) {
    for (const HeadRows& head : *heads) {
      if (const TensorSlice& slice = slice_of(head, tensor.part); !slice.empty()) sources.push_back(&slice.tensor());
    }
  }
  std::ranges::sort(sources);
  sources.erase(std::ranges::unique(sources).begin(), sources.end());
  return sources;
}

/// Takes an output tensor whole.
class WholeTensor final : public TensorSink {
 public:
  explicit WholeTensor(std::uint64_t bytes) : bytes_(static_cast<std::size_t>(bytes)) {}

  void write(std::string_view, std::span<const std::byte> bytes, std::uint64_t offset) override {
    std::ranges::copy(bytes, bytes_.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  void copy(std::string_view, const TensorView&) override {}
  void finish() override {}
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

void write_transposed(const OutputTensor& tensor, TensorSink& writer, std::vector<std::byte>& buffer) {
  WholeTensor whole(tensor.byte_count());
  Output output{tensor, whole, buffer};
  form(output);
  std::vector<std::byte> exchanged(whole.bytes().size());
  transpose_packed(whole.bytes(), tensor.spec.shape[1], tensor.spec.shape[0], dtype_bytes(tensor.spec.dtype),
                   exchanged);
  writer.write(tensor.spec.name, exchanged, 0);
}

/// Takes an output tensor in float64 and looks for the value that its own type cannot hold.
class OverflowFinder final : public TensorSink {
 public:
  explicit OverflowFinder(const TensorSpec& spec) : spec_(spec) {}

  void write(std::string_view, std::span<const std::byte> bytes, std::uint64_t offset) override {
    std::vector<double> values(bytes.size() / sizeof(double));
    decode(bytes, Dtype::f64, values);
    std::vector<std::byte> packed(values.size() * dtype_bytes(spec_.dtype));
    encode(values, spec_.dtype, packed);
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (all_finite(std::span(packed).subspan(i * dtype_bytes(spec_.dtype), dtype_bytes(spec_.dtype)), spec_.dtype))
        continue;
      throw Error(ErrorKind::unsupported, spec_.name, "must fit into " + std::string(dtype_name(spec_.dtype)),
                  value_in_words(values[i]) + " at " + element_place(spec_.shape, offset / sizeof(double) + i),
                  "Write another type: --dtype bf16 or f32.");
    }
  }
  void copy(std::string_view, const TensorView&) override {}
  void finish() override {}

 private:
  const TensorSpec& spec_;
};

/// Says why a tensor cannot be written: the input is not finite, or the type is too narrow for it.
void refuse_output(const OutputTensor& tensor) {
  for (const TensorView* source : sources_of(tensor)) require_finite(*source);
  OutputTensor wide = tensor;
  wide.spec.dtype = Dtype::f64;
  OverflowFinder finder(tensor.spec);
  std::vector<std::byte> buffer;
  Output output{wide, finder, buffer};
  form(output);
  throw Error(ErrorKind::internal, tensor.spec.name, "must be finite");
}

// Mapped pages count as this process's memory until they are let go.
void let_go(const OutputTensor& tensor) {
  if (tensor.source) Checkpoint::done_with(tensor.source->stored);
  for (const RowRange& range : tensor.ranges) {
    if (range.source) Checkpoint::done_with(range.source->stored);
  }
  if (tensor.kind != OutputTensor::Kind::heads) return;
  for (const auto* heads : {&tensor.layer->query, &tensor.layer->key, &tensor.layer->value, &tensor.layer->gate}) {
    for (const HeadRows& head : *heads) Checkpoint::done_with(slice_of(head, tensor.part).pages());
  }
}

}  // namespace

void write_tensor(const OutputTensor& tensor, TensorSink& writer, std::vector<std::byte>& buffer) {
  if (tensor.transposed) {
    write_transposed(tensor, writer, buffer);
    return let_go(tensor);
  }
  const bool is_copy = tensor.kind == OutputTensor::Kind::copy;
  if (is_copy && (tensor.source->dtype == tensor.spec.dtype || tensor.source->stored_as == tensor.spec.dtype)) {
    // Reading the pages first costs memory bandwidth only: the system copies them from there.
    if (!is_computed_buffer(tensor.source->name)) require_finite(*tensor.source);
    writer.copy(tensor.spec.name, *tensor.source);
  } else {
    Output output{tensor, writer, buffer};
    form(output);
  }
  let_go(tensor);
}

void write_tensors(std::span<const OutputTensor> tensors, TensorSink& writer, const WriteProgress& progress) {
  std::int64_t total = 0;
  for (const OutputTensor& tensor : tensors) total += static_cast<std::int64_t>(tensor.byte_count());
  std::vector<std::byte> buffer;
  std::int64_t done = 0;
  for (const OutputTensor& tensor : tensors) {
    write_tensor(tensor, writer, buffer);
    done += static_cast<std::int64_t>(tensor.byte_count());
    if (progress.report && !progress.report({progress.phase, done, total})) {
      throw Error(ErrorKind::interrupted, progress.target.string(), "interrupted, nothing was written");
    }
  }
  writer.finish();
}

}  // namespace qcqa
