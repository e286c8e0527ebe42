#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "export/output_tensors.hpp"
#include "qcqa/support/progress.hpp"

namespace qcqa {

/// Bytes of output formed in memory before they are written.
inline constexpr std::size_t kExportBufferBytes = std::size_t{32} << 20;

/// Forms the bytes of one output tensor and hands them to the writer part by part. `buffer` is reused between calls.
void write_tensor(const OutputTensor& tensor, TensorSink& writer, std::vector<std::byte>& buffer);

/// Whom to tell about the bytes of an output.
struct WriteProgress {
  std::string_view phase;
  const std::filesystem::path& target;
  const ProgressFn& report;
};

/// All of an output's tensors, to the end. @throws Error(interrupted) when the progress asks to stop
void write_tensors(std::span<const OutputTensor> tensors, TensorSink& writer, const WriteProgress& progress);

}  // namespace qcqa
