#include "qcqa/support/device.hpp"

#include <charconv>

#include "qcqa/support/error.hpp"
#include "support/gpu.hpp"

namespace qcqa {

std::string Device::name() const { return kind == Kind::cpu ? "cpu" : "cuda:" + std::to_string(index); }

Device parse_device(std::string_view text) {
  static constexpr std::string_view kCuda = "cuda";
  if (text == "cpu") return {};
  if (text == "auto") return gpu_count() > 0 ? Device{Device::Kind::cuda, 0} : Device{};
  Device device{Device::Kind::cuda, 0};
  bool valid = text.starts_with(kCuda);
  if (valid && text.size() > kCuda.size()) {
    const auto number = text.substr(kCuda.size() + 1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), device.index);
    valid =
        text[kCuda.size()] == ':' && error == std::errc() && end == number.data() + number.size() && device.index >= 0;
  }
  if (!valid) {
    throw Error(ErrorKind::invalid_argument, "--device", "must be auto, cpu, cuda or cuda:N", std::string(text));
  }
  if (device.index >= gpu_count()) {
    throw Error(ErrorKind::unsupported, "--device", "this GPU must exist and LibTorch must be built with CUDA",
                std::to_string(gpu_count()) + " usable GPUs", "Use --device cpu.");
  }
  return device;
}

}  // namespace qcqa
