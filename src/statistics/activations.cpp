#include "statistics/activations.hpp"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string>

#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// Times the median length that make an activation massive.
constexpr double kMassive = 10;
/// Share of the whole that a few tokens count for at least: they are one in hundreds.
constexpr double kLeastShare = 0.125;

}  // namespace

at::Tensor make_activations(std::int64_t rows, std::int64_t width, bool in_file, const std::filesystem::path& folder) {
  if (!in_file) return at::empty({rows, width});
  const auto bytes = static_cast<std::size_t>(rows) * static_cast<std::size_t>(width) * sizeof(float);
  require_free_space(folder, bytes);
  std::string name = (folder / "activations-XXXXXX").string();
  const int file = ::mkstemp(name.data());
  const auto fail = [&]() -> Error {
    return {ErrorKind::io, name, "activations cannot be written", std::strerror(errno),
            "Give --memory more, or make room."};
  };
  if (file < 0) throw fail();
  ::unlink(name.c_str());
  void* data = MAP_FAILED;
  if (const int error = ::posix_fallocate(file, 0, static_cast<off_t>(bytes)); error != 0) {
    errno = error;
  } else {
    data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  }
  const Error error = fail();
  ::close(file);
  if (data == MAP_FAILED) throw error;
  return at::from_blob(data, {rows, width}, [bytes](void* pointer) { ::munmap(pointer, bytes); });
}

at::Tensor squares_of(const at::Tensor& stream) {
  return stream.square().sum(-1).clamp_min(std::numeric_limits<float>::min());
}

at::Tensor massive_tokens(const at::Tensor& stream) {
  const at::Tensor length = stream.norm(2, {1});
  return length > kMassive * length.median();
}

at::Tensor importance_of(const at::Tensor& few) {
  const auto share = few.to(at::kFloat).mean().item<double>();
  if (share == 0) return at::ones(few.sizes());
  const at::Tensor counts = at::where(few, std::max(1.0, kLeastShare / share), at::ones({1}));
  return counts / counts.mean();
}

}  // namespace qcqa
