#pragma once

#include <span>
#include <string_view>

namespace qcqa {

struct EmbeddedFile {
  std::string_view name;
  std::string_view content;
};

/// src/model/architectures/*.json as they were at build time.
[[nodiscard]] std::span<const EmbeddedFile> embedded_architectures();

}  // namespace qcqa
