#include "cli/usage.hpp"

#include <algorithm>
#include <vector>

#include "support/nearest.hpp"

namespace qcqa::cli {
namespace {

const CLI::App& innermost_command(const CLI::App& app) {
  const CLI::App* command = &app;
  for (auto chosen = app.get_subcommands(); !chosen.empty(); chosen = command->get_subcommands()) {
    command = chosen.front();
  }
  return *command;
}

/// Every option ("--seed") or, where a command is missing, every command.
std::vector<std::string> known_words(const CLI::App& app) {
  std::vector<std::string> words;
  for (const CLI::App* command : app.get_subcommands({})) words.push_back(command->get_name());
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
  }
  return words;
}

std::string first_line(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  while (!text.empty() && (text.back() == '.' || text.back() == ' ')) text.pop_back();
  return text;
}

}  // namespace

std::string usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = innermost_command(app);
  std::string text = first_line(error.what()) + ".";
  const std::vector<std::string> unexpected = app.remaining(true);
  if (!unexpected.empty()) {
    text = "unexpected argument " + unexpected.front() + ".";
    const std::vector<std::string> words = known_words(command);
    const std::vector<std::string_view> views(words.begin(), words.end());
    if (const std::string hint = did_you_mean(unexpected.front(), views); !hint.empty()) text += " " + hint;
  }
  const std::string name = command.get_parent() ? "qcqa " + command.get_name() : "qcqa";
  return text + " See `" + name + " --help`.";
}

}  // namespace qcqa::cli
