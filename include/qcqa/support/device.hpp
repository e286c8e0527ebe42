#pragma once

#include <string>
#include <string_view>

namespace qcqa {

/// Where the heavy arithmetic runs.
struct Device {
  enum class Kind { cpu, cuda };
  Kind kind = Kind::cpu;
  int index = 0;  ///< of the GPU

  [[nodiscard]] std::string name() const;  ///< "cpu", "cuda:0"
  friend bool operator==(const Device&, const Device&) = default;
};

/// "cpu", "cuda", "cuda:1", or "auto" (the first GPU when there is one).
/// @throws Error(invalid_argument) for anything else, Error(unsupported) when there is no such GPU
[[nodiscard]] Device parse_device(std::string_view text);

}  // namespace qcqa
