#include "cli/merge_step.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "cli/choice.hpp"
#include "cli/flags.hpp"
#include "qcqa/forward/generate.hpp"
#include "qcqa/forward/runnable.hpp"
#include "qcqa/support/error.hpp"
#include "qcqa/text/corpus.hpp"
#include "report/text_table.hpp"

namespace qcqa::cli {
namespace {

const std::array<Choice<MergeKind>, 6> kKinds = {{
    {merge_kind_name(MergeKind::mean), MergeKind::mean, "mean pooling, as the papers"},
    {merge_kind_name(MergeKind::first), MergeKind::first, "each group's first head"},
    {merge_kind_name(MergeKind::weighted), MergeKind::weighted, "mean weighted by norms"},
    {merge_kind_name(MergeKind::aligned), MergeKind::aligned, "bases aligned, then the mean"},
    {merge_kind_name(MergeKind::subspace), MergeKind::subspace, "best shared subspace, the rest folded into queries and output; better with --calibrate"},
    {merge_kind_name(MergeKind::reconstruct), MergeKind::reconstruct, "subspace, then each layer fitted to the original's; needs --calibrate"},
}};

constexpr std::array<Choice<ReconstructScope>, 2> kScopes = {{
    {"attention", ReconstructScope::attention, "all else stays byte for byte"},
    {"block", ReconstructScope::block, "MLP and norms too"},
}};

/// Tokens of a calibration sequence: shorter ones cost less attention, longer ones show the model more.
constexpr std::size_t kCalibrationContext = 512;
/// Sequences that are sampled together.
constexpr std::int64_t kSampledTogether = 256;

using Sequences = std::vector<std::vector<std::int32_t>>;

std::int32_t bos_of(const Model& model) {
  try {
    if (const auto bos = Tokenizer::open(model.path()).special().bos) return *bos;
  } catch (const Error&) {  // config.json may know
  }
  const auto& config = model.config();
  if (const auto it = config.find("bos_token_id"); it != config.end() && it->is_number_integer()) return it->get<std::int32_t>();
  throw Error(ErrorKind::unsupported, "--calibrate self", "needs a BOS token in the tokenizer or in config.json", "none",
              "Give --calibrate a text instead.");
}

/// Text that the model itself makes up, from BOS on, at temperature 1.
void sample_calibration(const Model& model, std::size_t context, const MergeFlags& flags, const ForwardOptions& forward,
                        Console& console, Sequences& sequences) {
  const std::int32_t bos = bos_of(model);
  const auto length = static_cast<std::int64_t>(context);
  const std::int64_t wanted = (flags.calibration_tokens + length - 1) / length;
  const ProgressFn progress = console.progress();
  for (std::int64_t done = 0; done < wanted; done += kSampledTogether) {
    const std::int64_t count = std::min(kSampledTogether, wanted - done);
    const Sequences prompts(static_cast<std::size_t>(count), {bos});
    GenerateOptions options{.max_tokens = static_cast<int>(length) - 1, .temperature = 1, .forward = forward};
    options.seed = flags.seed + static_cast<std::uint64_t>(done);
    const Generation sampled = generate(model, prompts, options, {}, [&](int step) {
      return progress({"sample", done * length + count * step, wanted * length});
    });
    for (const auto& tokens : sampled.tokens) {
      sequences.push_back({bos});
      sequences.back().insert(sequences.back().end(), tokens.begin(), tokens.end());
    }
  }
}

void read_calibration(const Model& model, const std::string& text, std::size_t context, std::int64_t tokens,
                      Sequences& sequences) {
  CorpusOptions options;
  options.windows.context = context;
  options.max_tokens = static_cast<std::size_t>(tokens);
  const Corpus corpus = read_corpus(text, Tokenizer::open(model.path()), options);
  for (const Window& window : corpus.windows) {
    const auto ids = corpus.ids(window);
    sequences.emplace_back(ids.begin(), ids.end());
  }
}

Sequences collect_calibration(const Model& model, const MergeFlags& flags, const ForwardOptions& forward, Console& console) {
  const RunnableModel runnable = require_runnable(model);
  const std::size_t context =
      runnable.max_positions > 0 ? std::min(runnable.max_positions, kCalibrationContext) : kCalibrationContext;
  Sequences sequences;
  for (const std::string& source : flags.calibrate) {
    const double start = console.seconds();
    const std::size_t before = sequences.size();
    if (source == "self") {
      sample_calibration(model, context, flags, forward, console, sequences);
    } else {
      read_calibration(model, source, context, flags.calibration_tokens, sequences);
    }
    std::size_t tokens = 0;
    for (std::size_t i = before; i < sequences.size(); ++i) tokens += sequences[i].size();
    console.note("calibration: " + std::to_string(tokens) + " tokens " +
                 (source == "self" ? "sampled from the model" : "of " + source) + ", " +
                 format_number("%.1f s", console.seconds() - start));
  }
  return sequences;
}

std::string merge_summary(const MergeSummary& result) {
  std::string text = "merge " + std::string(merge_kind_name(result.kind)) + ": ";
  if (result.calibration_tokens > 0) text += std::to_string(result.calibration_tokens) + " calibration tokens, ";
  text += format_number("%.1f s", result.seconds);
  if (result.keys_pooled) text += "; keys are normalised in this family, so they were pooled by direction";
  for (const MergedLayer& layer : result.layers) {
    text += "\n  layer " + std::to_string(layer.layer) + ": output error " +
            format_number("%.4f", layer.subspace_error) + " (subspace) -> " + format_number("%.4f", layer.refit_error) +
            " (refit) -> " + format_number("%.4f", layer.error) + " (" + std::to_string(layer.steps) + " steps)";
  }
  return text;
}

}  // namespace

void MergeFlags::add_to(CLI::App& command) {
  const std::string group = "Merge";
  command.add_option("--merge", merge, "How a group's heads become one: " + describe_choices(std::span<const Choice<MergeKind>>(kKinds)))
      ->group(group)->capture_default_str();
  command.add_option("--calibrate", calibrate, "Text (.jsonl, .txt or a folder) whose activations steer the merge, or self: text "
                     "that the model makes up. May be given several times")
      ->group(group)->allow_extra_args(false);
  command.add_option("--calibration-tokens", calibration_tokens, "Tokens of each --calibrate at most")->group(group)->capture_default_str();
  command.add_option("--reconstruct", reconstruct, "What --merge reconstruct may change: " +
                     describe_choices(std::span<const Choice<ReconstructScope>>(kScopes)))
      ->group(group)->capture_default_str();
  command.add_option("--reconstruct-steps", steps, "Steps of reconstruction per layer")->group(group)->capture_default_str();
  command.add_option("--memory", memory, "Memory for calibration activations; more go to a file beside the output")
      ->group(group)->capture_default_str();
}

MergeOptions MergeFlags::resolve(const ForwardOptions& forward) const {
  MergeOptions options;
  options.kind = parse_choice(std::span<const Choice<MergeKind>>(kKinds), merge, "--merge");
  options.reconstruct.scope = parse_choice(std::span<const Choice<ReconstructScope>>(kScopes), reconstruct, "--reconstruct");
  options.reconstruct.steps = steps;
  options.memory = parse_size(memory, "--memory");
  options.seed = seed;
  options.forward = forward;
  if (steps < 0) throw Error(ErrorKind::invalid_argument, "--reconstruct-steps", "must be at least 0", std::to_string(steps));
  if (calibration_tokens < 2) {
    throw Error(ErrorKind::invalid_argument, "--calibration-tokens", "must be at least 2", std::to_string(calibration_tokens));
  }
  if (needs_calibration(options.kind) && calibrate.empty()) {
    throw Error(ErrorKind::invalid_argument, "--merge " + merge, "needs --calibrate", "none",
                "Add --calibrate self, or --calibrate with a text.");
  }
  if (!uses_calibration(options.kind) && !calibrate.empty()) {
    throw Error(ErrorKind::invalid_argument, "--calibrate", "is for --merge aligned, subspace and reconstruct", "--merge " + merge);
  }
  return options;
}

MergeStep::MergeStep(const Model& model, const Plan& plan, const MergeFlags& flags, const MergeOptions& options,
                     const ExportFlags& output, Console& console)
    : original_(&model) {
  if (options.kind == MergeKind::mean || output.dry_run) return;
  folder_ = output.folder().string() + ".merge-state";
  const Sequences calibration = collect_calibration(model, flags, options.forward, console);
  const std::vector<std::span<const std::int32_t>> sequences(calibration.begin(), calibration.end());
  result_ = merge_model(model, plan, sequences, options, folder_, console.progress());
  console.note(merge_summary(result_->summary));
}

MergeStep::~MergeStep() {
  // Of an interrupted merge there is no object to destroy: its finished layers stay.
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

}  // namespace qcqa::cli
