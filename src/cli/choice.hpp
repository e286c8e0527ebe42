#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qcqa/support/error.hpp"
#include "support/nearest.hpp"

namespace qcqa::cli {

/// One row of a choice list; help text and error messages are made from the same rows.
template <typename T>
struct Choice {
  std::string_view name;
  T value;
  std::string_view help;
};

/// "front (any grouping ...), binary (keep or ...)"
template <typename T>
std::string describe_choices(std::span<const Choice<T>> choices) {
  std::string text;
  for (const Choice<T>& choice : choices) {
    text.append(text.empty() ? "" : ", ").append(choice.name);
    if (!choice.help.empty()) text.append(" (").append(choice.help).append(")");
  }
  return text;
}

template <typename T>
T parse_choice(std::span<const Choice<T>> choices, const std::string& text, std::string_view option) {
  std::vector<std::string_view> names;
  std::string list;
  for (const Choice<T>& choice : choices) {
    if (choice.name == text) return choice.value;
    names.push_back(choice.name);
    list.append(list.empty() ? "" : ", ").append(choice.name);
  }
  throw Error(ErrorKind::invalid_argument, option, "must be one of " + list, text, did_you_mean(text, names));
}

}  // namespace qcqa::cli
