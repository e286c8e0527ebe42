#include "checkpoint/python_json.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <vector>

namespace qcqa {
namespace {

/// A literal, and a string that takes its place while the document is parsed or dumped. No text holds a NUL.
struct Literal {
  std::string_view text;
  std::string_view quoted;  ///< as JSON text
  std::string_view value;   ///< as the string that JSON text stands for
  double number;
};
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::array<Literal, 3> kLiterals = {{
    {"-Infinity", R"("\u0000-Infinity")", std::string_view("\0-Infinity", 10), -kInfinity},
    {"Infinity", R"("\u0000Infinity")", std::string_view("\0Infinity", 9), kInfinity},
    {"NaN", R"("\u0000NaN")", std::string_view("\0NaN", 4), std::numeric_limits<double>::quiet_NaN()},
}};

bool is_number_part(char c) {
  return (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.' || c == 'e' || c == 'E';
}

/// The string literal that begins here, with its quotes.
std::string_view string_at(std::string_view text) {
  std::size_t i = 1;
  while (i < text.size() && text[i] != '"') i += text[i] == '\\' ? 2 : 1;
  return text.substr(0, std::min(i + 1, text.size()));
}

/// The number that begins here, or a literal in its place when it is too large.
std::string_view number_at(std::string_view text, const Literal*& literal) {
  std::size_t length = 0;
  while (length < text.size() && is_number_part(text[length])) ++length;
  const std::string_view number = text.substr(0, length);
  // Whole numbers are for the parser to judge; only those with an exponent or very many digits can be infinite.
  if (number.find_first_of("eE") != std::string_view::npos || length > 300) {
    const double value = std::strtod(std::string(number).c_str(), nullptr);
    if (std::isinf(value)) literal = value < 0 ? &kLiterals[0] : &kLiterals[1];
  }
  return number;
}

/// JSON text without the literals. Nothing else is judged here: what is no JSON stays none.
std::string without_literals(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Literal* literal = nullptr;
    std::string_view token = text.substr(0, 1);
    if (text.front() == '"') {
      token = string_at(text);
    } else {
      for (const Literal& candidate : kLiterals) {
        if (text.starts_with(candidate.text)) literal = &candidate;
      }
      if (literal) {
        token = text.substr(0, literal->text.size());
      } else if (is_number_part(text.front())) {
        token = number_at(text, literal);
      }
    }
    out.append(literal ? literal->quoted : token);
    text.remove_prefix(token.size());
  }
  return out;
}

/// Without recursion: a hostile document may be nested as deep as it is long.
template <typename Json, typename Visit>
void for_each_value(Json& document, const Visit& visit) {
  std::vector<Json*> open = {&document};
  while (!open.empty()) {
    Json& value = *open.back();
    open.pop_back();
    visit(value);
    if (!value.is_structured()) continue;
    for (Json& child : value) open.push_back(&child);
  }
}

template <typename Json>
Json parse(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  Json document = Json::parse(without_literals(text));
  for_each_value(document, [](Json& value) {
    if (!value.is_string()) return;
    for (const Literal& literal : kLiterals) {
      if (value.template get_ref<const std::string&>() != literal.value) continue;
      value = literal.number;
      return;
    }
  });
  return document;
}

}  // namespace

nlohmann::json parse_python_json(std::string_view text) { return parse<nlohmann::json>(text); }

nlohmann::ordered_json parse_ordered_python_json(std::string_view text) { return parse<nlohmann::ordered_json>(text); }

std::size_t json_depth(std::string_view text) {
  std::size_t depth = 0, deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') in_string = !in_string;
    if (in_string) {
      if (c == '\\') ++i;  // an escaped quotation mark ends nothing
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

std::string dump_python_json(nlohmann::ordered_json document, int indent) {
  bool replaced = false;
  for_each_value(document, [&](nlohmann::ordered_json& value) {
    if (!value.is_number_float()) return;
    const auto number = value.get<double>();
    if (std::isfinite(number)) return;
    value = std::string((std::isnan(number) ? kLiterals[2] : number < 0 ? kLiterals[0] : kLiterals[1]).value);
    replaced = true;
  });
  std::string text = document.dump(indent);
  if (!replaced) return text;
  for (const Literal& literal : kLiterals) {
    for (std::size_t at = 0; (at = text.find(literal.quoted, at)) != std::string::npos;) {
      text.replace(at, literal.quoted.size(), literal.text);
    }
  }
  return text;
}

}  // namespace qcqa
