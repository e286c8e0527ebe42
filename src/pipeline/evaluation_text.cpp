#include "pipeline/evaluation_text.hpp"

#include <algorithm>
#include <string>

#include "qcqa/forward/runnable.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// Longest windows when nothing else is said: more would take memory and time for little more knowledge.
constexpr std::size_t kDefaultContext = 2048;

std::size_t resolve_context(const RunnableModel& model, std::size_t wanted) {
  const std::size_t most = model.max_positions;
  if (wanted == 0) return most == 0 ? kDefaultContext : std::min(most, kDefaultContext);
  if (wanted < 2 || (most > 0 && wanted > most)) {
    throw Error(ErrorKind::invalid_argument, "--context",
                "must be from 2 to the model's number of positions, " + std::to_string(most), std::to_string(wanted));
  }
  return wanted;
}

/// @param rows  of the embedding
Corpus tokenized(const Model& model, const TextSettings& settings, const CorpusOptions& options, std::size_t rows,
                 const Session& session) {
  const Tokenizer tokenizer = open_tokenizer(model, settings.tokenizer, session);
  Corpus corpus = read_corpus(settings.text, tokenizer, options);
  for (const TokenDocument& document : corpus.documents) require_rows(document.ids, tokenizer, rows);
  return corpus;
}

}  // namespace

EvaluationText read_text(const Model& model, const TextSettings& settings, const Session& session) {
  const RunnableModel runnable = require_runnable(model);
  CorpusOptions options = settings.corpus;
  options.windows.context = resolve_context(runnable, options.windows.context);
  EvaluationText text{.corpus = settings.token_ids.empty()
                                    ? tokenized(model, settings, options, runnable.vocabulary, session)
                                    : read_token_ids(settings.token_ids, runnable.vocabulary, options),
                      .windows = {},
                      .context = options.windows.context};
  for (const Window& window : text.corpus.windows) {
    text.windows.push_back({text.corpus.ids(window), window.first_target, window.document});
  }
  return text;
}

std::vector<ChoiceQuestion> read_questions(const Model& model, const std::filesystem::path& file,
                                           const TextSettings& settings, const Session& session) {
  const RunnableModel runnable = require_runnable(model);
  const Tokenizer tokenizer = open_tokenizer(model, settings.tokenizer, session);
  std::vector<ChoiceQuestion> questions =
      read_choices(file, tokenizer, settings.corpus.bos, resolve_context(runnable, settings.corpus.windows.context));
  for (const ChoiceQuestion& question : questions) {
    for (const ChoiceTokens& choice : question.choices) require_rows(choice.ids, tokenizer, runnable.vocabulary);
  }
  return questions;
}

std::string words_for(const EvaluationText& text) {
  return "context " + std::to_string(text.context) + (text.corpus.has_bos ? ", BOS first" : ", no BOS") +
         (text.corpus.has_eos ? ", EOS last" : "");
}

Tokenizer open_tokenizer(const Model& model, TokenizerKind kind, const Session& session) {
  Tokenizer tokenizer = Tokenizer::open(model.path(), kind);
  for (const std::string& note : tokenizer.notes()) session.decide(note);
  return tokenizer;
}

void require_rows(std::span<const TokenId> ids, const Tokenizer& tokenizer, std::size_t rows) {
  const auto missing = std::ranges::find_if(ids, [&](TokenId id) { return static_cast<std::size_t>(id) >= rows; });
  if (missing == ids.end()) return;
  throw Error(ErrorKind::unsupported, tokenizer.source().string(),
              "the text has a token that the model's embedding has no row for",
              "token " + std::to_string(*missing) + ", " + std::to_string(rows) + " rows",
              "Take the tokenizer that the weights were trained with, or give every token a row "
              "(resize_token_embeddings of transformers).");
}

}  // namespace qcqa
