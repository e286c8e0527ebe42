#include "export/gguf_tensors.hpp"

#include <filesystem>
#include <utility>

namespace qcqa {

Dtype GgufTensors::matrix_type(Dtype input) const {
  const Dtype type = dtype_.value_or(input);
  return type == Dtype::f64 ? Dtype::f32 : type;
}

void GgufTensors::matrix(std::string name, const TensorView* source) {
  if (source) add(copy_tensor(std::move(name), *source, matrix_type(source->written_dtype())));
}

void GgufTensors::vector(std::string name, const TensorView* source) {
  if (source) add(copy_tensor(std::move(name), *source, Dtype::f32));
}

void GgufTensors::rows(std::string name, const RowRange& range) {
  const Dtype dtype = matrix_type(range.source->written_dtype());
  add(gather_ranges(std::move(name), {range}, {range.count, range.source->shape.back()}, dtype));
}

GgufMetadata general_metadata(const Model& model, const std::string& architecture, std::optional<Dtype> dtype) {
  const Dtype type = dtype.value_or(model.layers().front().dtype);
  return {{"general.architecture", architecture},
          {"general.name", std::filesystem::weakly_canonical(model.path()).filename().string()},
          {"general.file_type", std::uint32_t{type == Dtype::f16    ? 1U
                                              : type == Dtype::bf16 ? 32U
                                                                    : 0U}}};
}

}  // namespace qcqa
