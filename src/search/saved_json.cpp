#include "search/saved_json.hpp"

#include <string>

namespace qcqa {

void read_words(const JsonView& view, std::span<std::uint64_t> out) {
  const auto items = view.items(out.size(), "word");
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!items[i].value().is_number_unsigned()) items[i].corrupt("must be an unsigned 64-bit integer");
    out[i] = items[i].value().get<std::uint64_t>();
  }
}

std::vector<std::vector<std::uint8_t>> read_byte_rows(const JsonView& view, std::size_t most) {
  std::vector<std::vector<std::uint8_t>> rows;
  for (const JsonView& row : read_items(view, most)) {
    if (!row.value().is_array()) row.corrupt("must be an array");
    auto& bytes = rows.emplace_back();
    bytes.reserve(row.value().size());
    for (const auto& value : row.value()) bytes.push_back(static_cast<std::uint8_t>(row.part(value).integer(0, 255)));
  }
  return rows;
}

std::vector<JsonView> read_items(const JsonView& view, std::size_t most) {
  if (!view.value().is_array() || view.value().size() > most) {
    view.corrupt("must be an array of at most " + std::to_string(most));
  }
  return view.items();
}

}  // namespace qcqa
