#include "cli/calibration.hpp"

#include <algorithm>

#include "qcqa/forward/generate.hpp"
#include "qcqa/forward/runnable.hpp"
#include "qcqa/support/error.hpp"
#include "qcqa/text/corpus.hpp"
#include "report/text_table.hpp"

namespace qcqa::cli {
namespace {

/// Tokens of a calibration sequence: shorter ones cost less attention, longer ones show the model more.
constexpr std::size_t kCalibrationContext = 512;
/// Sequences that are sampled together, at most: their keys and values are kept until they end.
constexpr std::int64_t kSampledTogether = 256;
constexpr std::int64_t kCacheBytes = std::int64_t{4} << 30;

std::int64_t sampled_together(const Model& model, std::int64_t length) {
  std::int64_t entries = 0;
  for (const AttentionLayer& layer : model.layers()) entries += std::int64_t{2} * layer.kv_heads * layer.head_dim;
  const auto bytes = entries * length * static_cast<std::int64_t>(sizeof(float));
  return std::clamp<std::int64_t>(kCacheBytes / bytes, 1, kSampledTogether);
}

/// Text that the model itself makes up, from BOS on, at temperature 1.
void sample_calibration(const Model& model, std::size_t context, std::int64_t tokens, std::uint64_t seed,
                        const ForwardOptions& forward, Console& console, TokenSequences& sequences) {
  const std::int32_t bos = bos_token(model);
  const auto length = static_cast<std::int64_t>(context);
  const std::int64_t wanted = (tokens + length - 1) / length;
  const std::int64_t together = sampled_together(model, length);
  const ProgressFn progress = console.progress();
  for (std::int64_t done = 0; done < wanted; done += together) {
    const std::int64_t count = std::min(together, wanted - done);
    const std::vector<std::vector<TokenId>> prompts(static_cast<std::size_t>(count), {bos});
    GenerateOptions options{.max_tokens = static_cast<int>(length) - 1, .temperature = 1, .forward = forward};
    options.seed = seed + static_cast<std::uint64_t>(done);
    const Generation sampled = generate(model, prompts, options, {}, [&](int step) {
      return progress({"sample", done * length + count * step, wanted * length});
    });
    for (const auto& made_up : sampled.tokens) {
      std::vector<TokenId> sequence = {bos};
      sequence.insert(sequence.end(), made_up.begin(), made_up.end());
      sequences.add(std::move(sequence));
    }
  }
}

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

std::int32_t bos_token(const Model& model) {
  try {
    if (const auto bos = Tokenizer::open(model.path()).special().bos) return *bos;
  } catch (const Error&) {  // config.json may know
  }
  const auto& config = model.config();
  if (const auto it = config.find("bos_token_id"); it != config.end() && it->is_number_integer())
    return it->get<std::int32_t>();
  throw Error(ErrorKind::unsupported, "--calibrate self", "needs a BOS token in the tokenizer or in config.json",
              "none", "Give --calibrate a text instead.");
}

bool CalibrationFlags::samples() const { return std::ranges::find(sources, kSelf) != sources.end(); }

void CalibrationFlags::add_to(CLI::App& command) {
  const std::string group = "Calibration";
  command
      .add_option("--calibrate", sources,
                  "Text (.jsonl, .txt or a folder) that shows what heads do, or self: text that the "
                  "model makes up. May be given several times")
      ->group(group)
      ->allow_extra_args(false);
  command.add_option("--calibration-tokens", tokens, "Tokens of each --calibrate at most")
      ->group(group)
      ->capture_default_str();
}

void CalibrationFlags::check() const {
  if (tokens >= 2) return;
  throw Error(ErrorKind::invalid_argument, "--calibration-tokens", "must be at least 2", std::to_string(tokens));
}

TokenSequences collect_calibration(const Model& model, const CalibrationFlags& flags, std::uint64_t seed,
                                   const ForwardOptions& forward, Console& console) {
  if (!flags.given()) return {};
  const RunnableModel runnable = require_runnable(model);
  const std::size_t context =
      runnable.max_positions > 0 ? std::min(runnable.max_positions, kCalibrationContext) : kCalibrationContext;
  TokenSequences calibration;
  for (const std::string& source : flags.sources) {
    const double start = console.seconds();
    const std::size_t before = calibration.tokens();
    if (source == kSelf) {
      sample_calibration(model, context, flags.tokens, seed, forward, console, calibration);
    } else {
      read_calibration(runnable, source, context, flags.tokens, flags.tokenizer.open(model, console), calibration);
    }
    console.note("calibration: " + std::to_string(calibration.tokens() - before) + " tokens " +
                 (source == kSelf ? "sampled from the model" : "of " + source) + ", " +
                 format_number("%.1f s", console.seconds() - start));
  }
  return calibration;
}

}  // namespace qcqa::cli
