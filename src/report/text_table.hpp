#pragma once

#include <string>
#include <vector>

namespace qcqa {

/// Columns of plain text, padded to a common width; the first column left-aligned, the others right-aligned unless the
/// header starts with '<'.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header);
  void add(std::vector<std::string> row);
  [[nodiscard]] std::string str() const;

 private:
  std::vector<bool> left_;
  std::vector<std::vector<std::string>> rows_;
};

/// printf-style "%.4g" and friends for table cells.
[[nodiscard]] std::string format_number(const char* format, double value);

}  // namespace qcqa
