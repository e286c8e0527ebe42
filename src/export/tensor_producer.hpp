#pragma once

#include <cstddef>
#include <vector>

#include "export/output_tensors.hpp"

namespace qcqa {

/// Bytes of output formed in memory before they are written.
inline constexpr std::size_t kExportBufferBytes = std::size_t{32} << 20;

/// Forms the bytes of one output tensor and hands them to the writer part by part. `buffer` is reused between calls.
void write_tensor(const OutputTensor& tensor, TensorSink& writer, std::vector<std::byte>& buffer);

}  // namespace qcqa
