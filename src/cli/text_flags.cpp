#include "cli/text_flags.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "cli/choice.hpp"
#include "qcqa/forward/runnable.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa::cli {
namespace {

/// Longest windows when nothing else is said: more would take memory and time for little more knowledge.
constexpr std::size_t kDefaultContext = 2048;

constexpr std::array<Choice<BosRule>, 3> kBosRules = {{
    {"auto", BosRule::as_tokenizer, "where the model's tokenizer puts it"},
    {"always", BosRule::always, ""},
    {"never", BosRule::never, ""},
}};

std::size_t resolve_context(const RunnableModel& model, std::size_t wanted) {
  const std::size_t most = model.max_positions;
  if (wanted == 0) return most == 0 ? kDefaultContext : std::min(most, kDefaultContext);
  if (wanted < 2 || (most > 0 && wanted > most)) {
    throw Error(ErrorKind::invalid_argument, "--context",
                "must be from 2 to the model's number of positions, " + std::to_string(most), std::to_string(wanted));
  }
  return wanted;
}

/// Reads and tokenizes a text. @param rows  of the embedding
Corpus tokenized(const Model& model, const TextFlags& flags, const CorpusOptions& options, std::size_t rows,
                 Console& console) {
  const Tokenizer tokenizer = flags.tokenizer.open(model, console);
  Corpus corpus = read_corpus(flags.text, tokenizer, options);
  for (const TokenDocument& document : corpus.documents) require_rows(document.ids, tokenizer, rows);
  return corpus;
}

}  // namespace

BosRule parse_bos(const std::string& text) {
  return parse_choice(std::span<const Choice<BosRule>>(kBosRules), text, "--bos");
}

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

EvaluationText read_text(const Model& model, const TextFlags& flags, Console& console) {
  const RunnableModel runnable = require_runnable(model);
  CorpusOptions options = flags.options;
  options.bos = parse_bos(flags.bos);
  options.windows.context = resolve_context(runnable, options.windows.context);
  if (flags.truncate) options.windows.long_documents = LongDocuments::truncate;
  EvaluationText text{.corpus = flags.token_ids.empty() ? tokenized(model, flags, options, runnable.vocabulary, console)
                                                        : read_token_ids(flags.token_ids, runnable.vocabulary, options),
                      .windows = {},
                      .context = options.windows.context};
  for (const Window& window : text.corpus.windows) {
    text.windows.push_back({text.corpus.ids(window), window.first_target, window.document});
  }
  return text;
}

}  // namespace qcqa::cli
