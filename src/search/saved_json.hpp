#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "checkpoint/json_view.hpp"

namespace qcqa {

/// Reads exactly out.size() unsigned 64-bit integers of a saved search. @throws Error(corrupt)
void read_words(const JsonView& view, std::span<std::uint64_t> out);

/// At most `most` arrays of bytes. @throws Error(corrupt)
[[nodiscard]] std::vector<std::vector<std::uint8_t>> read_byte_rows(const JsonView& view, std::size_t most);

/// At most `most` elements. @throws Error(corrupt)
[[nodiscard]] std::vector<JsonView> read_items(const JsonView& view, std::size_t most);

}  // namespace qcqa
