#include "cli/tokenizer_flag.hpp"

#include <array>
#include <span>

#include "cli/choice.hpp"

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

TokenizerKind TokenizerFlag::resolve() const {
  return parse_choice(std::span<const Choice<TokenizerKind>>(kTokenizerKinds), kind, "--tokenizer");
}

}  // namespace qcqa::cli
