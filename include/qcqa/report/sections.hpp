#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qcqa/report/report.hpp"

namespace qcqa {

/// A table as every rendering shows it: texts in rows.
struct Table {
  struct Column {
    std::string name{};
    bool is_text = false;  ///< set to the left; numbers are set to the right
  };
  std::vector<Column> columns{};
  std::vector<std::vector<std::string>> rows{};  ///< as many cells as there are columns

  /// A table without column names, of texts.
  [[nodiscard]] static Table of_texts(std::size_t columns);
};

/// A part of a report, as every rendering shows it.
struct Section {
  std::string name{};   ///< "front", "plan", ...: what --select takes
  std::string title{};  ///< a line
  std::vector<std::string> lines{};
  Table table{};
  std::vector<std::string> notes{};  ///< below the table
};

/// The names of all sections, in the order of display.
[[nodiscard]] std::vector<std::string_view> section_names();

/// The chosen sections, or without a choice those for which the report has something.
/// @throws Error(invalid_argument) for an unknown section, with the known ones
[[nodiscard]] std::vector<Section> report_sections(const Report& report, const std::vector<std::string>& names = {});

/// Costs of two reports side by side at every KV size they share, with ratios.
[[nodiscard]] std::vector<Section> compare_sections(const Report& a, std::string_view name_a, const Report& b,
                                                    std::string_view name_b);

/// As plain text.
[[nodiscard]] std::string text_of(std::span<const Section> sections);
[[nodiscard]] std::string text_of(const Table& table);

}  // namespace qcqa
