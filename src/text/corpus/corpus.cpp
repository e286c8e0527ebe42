#include "qcqa/text/corpus.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include "checkpoint/json_file.hpp"
#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"
#include "text/corpus/lines.hpp"
#include "text/tokenizer_view.hpp"

namespace qcqa {
namespace {

constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();

/// Collects documents until the options are satisfied.
class CorpusBuilder {
 public:
  explicit CorpusBuilder(const CorpusOptions& options)
      : options_(options), room_(options.max_tokens != 0 ? options.max_tokens : kAll) {}

  /// Returns whether more documents are wanted.
  bool add(TokenDocument&& document) {
    const std::size_t added =
        cut_windows(corpus_.documents.size(), document.ids.size(), options_.windows, room_, corpus_.windows);
    if (added > 0) {
      corpus_.targets += added;
      if (room_ != kAll) room_ -= added;
      corpus_.documents.push_back(std::move(document));
    }
    return room_ > 0 && (options_.max_documents == 0 || corpus_.documents.size() < options_.max_documents);
  }

  Corpus finish(const std::filesystem::path& source) {
    if (corpus_.targets == 0) {
      throw Error(ErrorKind::invalid_argument, source.string(), "must have text to predict, two tokens in one document",
                  "none");
    }
    return std::move(corpus_);
  }

 private:
  const CorpusOptions& options_;
  std::size_t room_;
  Corpus corpus_;
};

class IdLine {
 public:
  IdLine(std::string_view line, std::string where, std::size_t vocabulary_size)
      : line_(line), where_(std::move(where)), vocabulary_size_(vocabulary_size) {}

  std::vector<TokenId> read() const { return line_.find('[') != std::string_view::npos ? read_json() : read_plain(); }

 private:
  [[noreturn]] void corrupt(const std::string& found) const {
    throw Error(ErrorKind::corrupt, where_,
                "must be token ids, integers from 0 to " + std::to_string(vocabulary_size_ - 1), found);
  }

  std::vector<TokenId> read_json() const {
    nlohmann::json document;
    try {
      document = nlohmann::json::parse(line_);
    } catch (const nlohmann::json::exception& error) {
      corrupt(json_reason(error));
    }
    if (!document.is_array()) corrupt(document.type_name());
    std::vector<TokenId> ids;
    for (const nlohmann::json& id : document) {
      if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= vocabulary_size_) corrupt(id.dump().substr(0, 40));
      ids.push_back(id.get<TokenId>());
    }
    return ids;
  }

  std::vector<TokenId> read_plain() const {
    constexpr std::string_view kSpace = " \t\r\v\f";
    std::vector<TokenId> ids;
    for (std::size_t at = line_.find_first_not_of(kSpace); at < line_.size();) {
      const std::string_view word = line_.substr(at, line_.find_first_of(kSpace, at) - at);
      std::uint64_t id = 0;
      const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
      if (error != std::errc() || end != word.data() + word.size() || id >= vocabulary_size_) {
        corrupt(nlohmann::json(word.substr(0, 40)).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
      }
      ids.push_back(static_cast<TokenId>(id));
      at = line_.find_first_not_of(kSpace, at + word.size());
    }
    return ids;
  }

  std::string_view line_;
  std::string where_;
  std::size_t vocabulary_size_;
};

}  // namespace

TextFrame frame_of(const Tokenizer& tokenizer, BosRule rule) {
  const SpecialTokens& special = tokenizer.special();
  TextFrame frame = special.frame;
  if (rule == BosRule::never) frame.before.clear();
  if (rule == BosRule::always && frame.before.empty()) {
    if (!special.bos) {
      throw Error(ErrorKind::invalid_argument, "--bos always", "the tokenizer has no BOS token",
                  tokenizer.source().string(), "Name one in tokenizer_config.json (bos_token).");
    }
    frame.before = {*special.bos};
  }
  return frame;
}

DocumentLimits document_limits(std::size_t tokens) {
  static constexpr std::size_t kBytesPerToken = 64;
  DocumentLimits limits;
  limits.wanted = std::min(tokens, limits.wanted / kBytesPerToken) * kBytesPerToken;
  return limits;
}

Corpus read_corpus(const std::filesystem::path& text, const Tokenizer& tokenizer, const CorpusOptions& options) {
  const TextFrame frame = frame_of(tokenizer, options.bos);
  CorpusBuilder builder(options);
  DocumentLimits limits = options.max_tokens != 0 ? document_limits(options.max_tokens) : DocumentLimits();
  limits.field = options.field;
  for_each_document(text, limits, [&](Document&& document) {
    const std::vector<TokenId> ids = tokenizer.encode(document.text);
    TokenDocument tokens{std::move(document.name), frame.before};
    tokens.ids.insert(tokens.ids.end(), ids.begin(), ids.end());
    if (!document.is_cut) tokens.ids.insert(tokens.ids.end(), frame.after.begin(), frame.after.end());
    return builder.add(std::move(tokens));
  });
  Corpus corpus = builder.finish(text);
  corpus.has_bos = !frame.before.empty();
  corpus.has_eos = !frame.after.empty();
  return corpus;
}

Corpus read_token_ids(const std::filesystem::path& file, std::size_t vocabulary_size, const CorpusOptions& options) {
  CorpusBuilder builder(options);
  for_each_line(file, kLongestLine, [&](const std::string& line, const std::string& where) {
    return builder.add({where, IdLine(line, where, vocabulary_size).read()});
  });
  return builder.finish(file);
}

}  // namespace qcqa
