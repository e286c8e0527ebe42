#pragma once

#include <optional>
#include <string>
#include <vector>

#include "checkpoint/gguf.hpp"
#include "export/output_tensors.hpp"

namespace qcqa {

/// The tensors of a GGUF file, in types that llama.cpp computes with.
class GgufTensors {
 public:
  /// @param dtype  of matrices; nothing: as the input has them
  explicit GgufTensors(std::optional<Dtype> dtype) : dtype_(dtype) {}

  // Without a source, nothing is added.
  void matrix(std::string name, const TensorView* source);
  /// llama.cpp adds and multiplies vectors in float32 only.
  void vector(std::string name, const TensorView* source);
  void rows(std::string name, const RowRange& range);
  void add(OutputTensor tensor) { tensors_.push_back(std::move(tensor)); }

  /// llama.cpp has no float64.
  [[nodiscard]] Dtype matrix_type(Dtype input) const;
  [[nodiscard]] std::vector<OutputTensor> take() { return std::move(tensors_); }

 private:
  std::optional<Dtype> dtype_;
  std::vector<OutputTensor> tensors_;
};

/// What every file says: the architecture of llama.cpp, a name, the type of most weights.
[[nodiscard]] GgufMetadata general_metadata(const Model& model, const std::string& architecture,
                                            std::optional<Dtype> dtype);

}  // namespace qcqa
