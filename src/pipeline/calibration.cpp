#include "pipeline/calibration.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "pipeline/evaluation_text.hpp"
#include "qcqa/forward/generate.hpp"
#include "qcqa/forward/runnable.hpp"
#include "qcqa/merge/estimate.hpp"
#include "qcqa/support/error.hpp"
#include "qcqa/text/documents.hpp"
#include "support/fnv1a.hpp"
#include "support/stopwatch.hpp"

namespace qcqa {
namespace {

using Ids = std::vector<std::vector<TokenId>>;

/// Token ids as a step keeps them; what is there may be damaged.
Ids kept_ids(const JsonView& kept, std::size_t vocabulary) {
  const auto last = static_cast<std::int64_t>(vocabulary) - 1;
  Ids ids;
  for (const JsonView& sequence : kept.items()) {
    if (!sequence.value().is_array() || sequence.value().empty()) sequence.corrupt("must be a list of token ids");
    std::vector<TokenId>& row = ids.emplace_back();
    for (const nlohmann::json& id : sequence.value()) {
      row.push_back(static_cast<TokenId>(sequence.part(id).integer(0, last)));
    }
  }
  return ids;
}

/// Text that the model itself makes up, from BOS on, at temperature 1.
class Sampler {
 public:
  Sampler(const Model& model, const RunnableModel& runnable, std::size_t context, std::uint64_t seed,
          const ForwardOptions& forward, const Session& session, RunState* state)
      : model_(model),
        vocabulary_(runnable.vocabulary),
        bos_(bos_token(model)),
        length_(static_cast<std::int64_t>(context)),
        seed_(seed),
        forward_(forward),
        session_(session),
        state_(state) {}

  void sample(std::int64_t tokens, TokenSequences& sequences) {
    const std::int64_t wanted = (tokens + length_ - 1) / length_;
    const std::int64_t together = sampled_together(model_);
    for (std::int64_t done = 0; done < wanted; done += together) {
      for (auto& made_up : some(done, std::min(together, wanted - done), wanted)) sequences.add(std::move(made_up));
    }
  }

 private:
  Ids some(std::int64_t done, std::int64_t count, std::int64_t wanted) {
    const std::string step = "sampled-" + std::to_string(done);
    if (state_ != nullptr) {
      if (const auto kept = state_->find(step)) return kept_ids(state_->view(step, *kept), vocabulary_);
    }
    const Ids prompts(static_cast<std::size_t>(count), {bos_});
    GenerateOptions options{.max_tokens = static_cast<int>(length_) - 1, .temperature = 1, .forward = forward_};
    options.seed = seed_ + static_cast<std::uint64_t>(done);
    Generation sampled = generate(model_, prompts, options, [&](int token) {
      return !session_.progress || session_.progress({"sample", done * length_ + count * token, wanted * length_});
    });
    for (std::vector<TokenId>& made_up : sampled.tokens) made_up.insert(made_up.begin(), bos_);
    if (state_ != nullptr) state_->keep(step, sampled.tokens);
    return std::move(sampled.tokens);
  }

  const Model& model_;
  std::size_t vocabulary_;
  TokenId bos_;
  std::int64_t length_;
  std::uint64_t seed_;
  const ForwardOptions& forward_;
  const Session& session_;
  RunState* state_;
};

void read_calibration(const RunnableModel& runnable, const std::string& text, std::size_t context, std::int64_t tokens,
                      const Tokenizer& tokenizer, TokenSequences& sequences) {
  CorpusOptions options;
  options.windows.context = context;
  options.max_tokens = static_cast<std::size_t>(tokens);
  const Corpus corpus = read_corpus(text, tokenizer, options);
  for (const TokenDocument& document : corpus.documents) require_rows(document.ids, tokenizer, runnable.vocabulary);
  for (const Window& window : corpus.windows) {
    const auto ids = corpus.ids(window);
    sequences.add({ids.begin(), ids.end()});
  }
}

}  // namespace

TokenId bos_token(const Model& model) {
  const auto of_tokenizer = [&]() -> std::optional<TokenId> {
    try {
      return Tokenizer::open(model.path()).special().bos;
    } catch (const Error&) {
      return std::nullopt;  // config.json may know
    }
  };
  std::optional<std::int64_t> bos = of_tokenizer();
  const auto& config = model.config();
  if (const auto it = config.find("bos_token_id"); !bos && it != config.end() && it->is_number_integer())
    bos = it->get<std::int64_t>();
  const int vocabulary = model.settings().shape().vocabulary;
  if (bos && *bos >= 0 && *bos < vocabulary) return static_cast<TokenId>(*bos);
  throw Error(ErrorKind::unsupported, "--calibrate self",
              "needs a BOS token of the vocabulary in the tokenizer or in config.json",
              bos ? fmt::format("{} of {} tokens", *bos, vocabulary) : "none", "Give --calibrate a text instead.");
}

TokenSequences collect_calibration(const Model& model, const CalibrationSettings& settings, std::uint64_t seed,
                                   const ForwardOptions& forward, const Session& session, RunState* state) {
  static constexpr const char* kStep = "calibration";
  if (!settings.given()) return {};
  const RunnableModel runnable = require_runnable(model);
  if (state != nullptr) {
    if (const auto kept = state->find(kStep)) {
      return TokenSequences(kept_ids(state->view(kStep, *kept), runnable.vocabulary));
    }
  }
  const auto context = static_cast<std::size_t>(calibration_context(model));
  TokenSequences calibration;
  for (const std::string& source : settings.sources) {
    const Stopwatch watch;
    const std::size_t before = calibration.tokens();
    if (source == kSelf) {
      Sampler(model, runnable, context, seed, forward, session, state).sample(settings.tokens, calibration);
    } else {
      read_calibration(runnable, source, context, settings.tokens, open_tokenizer(model, settings.tokenizer, session),
                       calibration);
    }
    session.say(fmt::format("calibration: {} tokens {}, {:.1f} s", calibration.tokens() - before,
                            source == kSelf ? "sampled from the model" : "of " + source, watch.seconds()));
  }
  if (state != nullptr) state->keep(kStep, calibration.ids());
  return calibration;
}

void add_inputs(nlohmann::json& identity, const Model& model, const CalibrationSettings& settings) {
  identity["model"] = model.fingerprint();
  const DocumentLimits limits = document_limits(static_cast<std::size_t>(settings.tokens));
  Fnv1a hash;
  bool any = false;
  for (const std::string& source : settings.sources) {
    if (source == kSelf) continue;
    any = true;
    std::size_t bytes = 0;
    for_each_document(source, limits, [&](Document&& document) {
      hash.add(static_cast<std::int64_t>(document.text.size()));
      hash.add(document.text);
      bytes += document.text.size();
      return bytes < limits.wanted;
    });
  }
  if (any) identity["calibration text"] = hash.text();
}

TokenSequences hold_back(TokenSequences& calibration, std::size_t every) {
  TokenSequences held, kept;
  every = std::min(every, std::max<std::size_t>(2, calibration.size() / 2));
  for (std::size_t i = 0; i < calibration.size(); ++i) {
    (i % every == every - 1 ? held : kept).add(calibration.ids()[i]);
  }
  calibration = std::move(kept);
  return held;
}

}  // namespace qcqa
