#include "cli/tokenizer_flag.hpp"

#include <algorithm>
#include <array>

#include "cli/choice.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa::cli {
namespace {

constexpr std::array<Choice<TokenizerKind>, 2> kTokenizerKinds = {{
    {"transformers", TokenizerKind::transformers, ""},
    {"sentencepiece", TokenizerKind::sentencepiece, "that library's, for a tokenizer.model"},
}};

}  // namespace

void TokenizerFlag::add_to(CLI::App& command) {
  command
      .add_option(
          "--tokenizer", kind,
          "Whose token ids texts get: " + describe_choices(std::span<const Choice<TokenizerKind>>(kTokenizerKinds)))
      ->capture_default_str();
}

Tokenizer TokenizerFlag::open(const Model& model, Console& console) const {
  Tokenizer tokenizer = Tokenizer::open(
      model.path(), parse_choice(std::span<const Choice<TokenizerKind>>(kTokenizerKinds), kind, "--tokenizer"));
  for (const std::string& note : tokenizer.notes()) console.remark(note);
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

}  // namespace qcqa::cli
