#pragma once

#include <string>

#include "qcqa/model/model.hpp"
#include "qcqa/report/report.hpp"

namespace qcqa::cli {

/// One line about the input for the head of a command's output.
[[nodiscard]] std::string preamble(const Model& model, const char* verb);

/// Costs at three quarters, half, a quarter, ... of the KV cache: the short summary at the end of a search.
[[nodiscard]] std::string search_summary(const Report& report);

}  // namespace qcqa::cli
