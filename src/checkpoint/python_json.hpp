#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace qcqa {

// JSON as Python's json module reads and writes it: NaN, Infinity and -Infinity stand where a number may, and what is
// beyond float64 is infinite. In the document such a value is a floating-point number, so that whoever needs a finite
// one refuses it, and nobody else minds.

/// As Json::parse, for that, with or without a byte order mark.
/// @throws nlohmann::json::exception
[[nodiscard]] nlohmann::json parse_python_json(std::string_view text);
[[nodiscard]] nlohmann::ordered_json parse_ordered_python_json(std::string_view text);

/// How many arrays and objects of a text are open at once, at most. A document can be parsed and let go whatever this
/// is; copying it recurses, so one that is nested without end would end the program.
[[nodiscard]] std::size_t json_depth(std::string_view text);

/// As dump, for that; dump would write null.
[[nodiscard]] std::string dump_python_json(nlohmann::ordered_json document, int indent);

}  // namespace qcqa
