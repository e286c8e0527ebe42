#include "cli/text_flags.hpp"

#include <array>
#include <span>

#include "cli/choice.hpp"

namespace qcqa::cli {
namespace {

constexpr std::array<Choice<BosRule>, 3> kBosRules = {{
    {"auto", BosRule::as_tokenizer, "where the model's tokenizer puts it"},
    {"always", BosRule::always, ""},
    {"never", BosRule::never, ""},
}};

}  // namespace

void TextFlags::add_to(CLI::App& command) {
  const std::string group = "Text";
  const auto number = [&](const char* name, std::size_t& value, const char* help) {
    command.add_option(name, value, help)->group(group)->capture_default_str();
  };
  text_option = command.add_option("--text", text, "Text: .jsonl (a document per line), .txt, or a folder of files");
  text_option->group(group);
  ids_option = command.add_option("--token-ids", token_ids,
                                  "Token ids instead of text: one document per line, BOS included where it is wanted");
  ids_option->group(group)->excludes(text_option);
  number("--context", options.windows.context, "Tokens of a window; 0 = the model's positions, at most 2048");
  number(
      "--stride", options.windows.stride,
      "Tokens from one window of a document to the next; 0 = context - 1. A smaller stride gives tokens more context");
  command.add_flag("--truncate", truncate, "Keep only the first window of each document")->group(group);
  number("--max-documents", options.max_documents, "Documents to use; 0 = all");
  number("--max-tokens", options.max_tokens, "Tokens to predict; 0 = all");
  command.add_option("--field", options.field, "Member of a .jsonl line that holds the text")
      ->group(group)
      ->capture_default_str();
  command
      .add_option("--bos", bos,
                  "Whether texts begin with BOS: " + describe_choices(std::span<const Choice<BosRule>>(kBosRules)))
      ->group(group)
      ->capture_default_str();
  tokenizer.add_to(command);
}

TextSettings TextFlags::resolve() const {
  TextSettings settings{.text = text, .token_ids = token_ids, .corpus = options, .tokenizer = tokenizer.resolve()};
  settings.corpus.bos = parse_choice(std::span<const Choice<BosRule>>(kBosRules), bos, "--bos");
  if (truncate) settings.corpus.windows.long_documents = LongDocuments::truncate;
  return settings;
}

}  // namespace qcqa::cli
