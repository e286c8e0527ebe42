#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "qcqa/report/report.hpp"

namespace qcqa {

/// Parts of a report that can be shown by themselves, in the order of display: "model", "front", "layers", ...
[[nodiscard]] std::vector<std::string_view> report_sections();

/// Plain-text tables of the chosen sections (all when empty).
/// @throws Error(invalid_argument) for an unknown section, with the known ones
[[nodiscard]] std::string report_tables(const Report& report, const std::vector<std::string>& sections = {});

/// Costs of two reports side by side at every KV size they share, with ratios.
[[nodiscard]] std::string compare_tables(const Report& a, std::string_view name_a, const Report& b,
                                         std::string_view name_b);

/// "13.5 KiB", "512 KiB", "2.0 GiB": binary units, at most four digits.
[[nodiscard]] std::string human_bytes(double bytes);

}  // namespace qcqa
