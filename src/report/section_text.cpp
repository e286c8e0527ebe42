#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

#include "qcqa/report/sections.hpp"

namespace qcqa {
namespace {

std::vector<std::string> names_of(const Table& table) {
  std::vector<std::string> names;
  for (const Table::Column& column : table.columns) names.push_back(column.name);
  return names;
}

}  // namespace

Table Table::of_texts(std::size_t columns) { return {.columns = {columns, Column{.is_text = true}}}; }

std::string text_of(const Table& table) {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    std::size_t width = table.columns[i].name.size();
    for (const auto& row : table.rows) width = std::max(width, row[i].size());
    widths.push_back(width);
  }
  std::string text;
  const auto add = [&](const std::vector<std::string>& row) {
    std::string line = " ";
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += table.columns[i].is_text ? fmt::format(" {:<{}} ", row[i], widths[i])
                                       : fmt::format(" {:>{}} ", row[i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  const auto has_name = [](const Table::Column& column) { return !column.name.empty(); };
  if (std::ranges::any_of(table.columns, has_name)) add(names_of(table));
  for (const auto& row : table.rows) add(row);
  return text;
}

std::string text_of(std::span<const Section> sections) {
  std::string text;
  for (const Section& section : sections) {
    if (!text.empty()) text += "\n";
    text += section.title + "\n";
    for (const std::string& line : section.lines) text += "  " + line + "\n";
    text += text_of(section.table);
    for (const std::string& note : section.notes) text += "  " + note + "\n";
  }
  return text;
}

}  // namespace qcqa
