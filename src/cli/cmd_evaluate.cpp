#include <cstdio>
#include <memory>
#include <optional>

#include "cli/commands.hpp"
#include "cli/evaluate_flags.hpp"
#include "cli/flags.hpp"
#include "cli/freed_memory.hpp"
#include "cli/open_model.hpp"
#include "cli/sample_flags.hpp"
#include "cli/text_flags.hpp"
#include "pipeline/evaluation_text.hpp"
#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/forward/runnable.hpp"
#include "qcqa/report/report.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa::cli {
namespace {

struct EvaluateCommand {
  FamilyFlag family;
  std::string model, reference, choices, json, dump_logits;
  IncreaseLimit limit;
  TextFlags text;
  SampleFlags sample;
  ComputeFlags compute;
  KvCacheFlag kv_cache;
  bool by_position = false;
  CommonFlags common;
};

/// What was asked for and is there to show.
struct Result {
  std::optional<EvaluationText> text;
  std::optional<Evaluation> evaluation;
  std::optional<ChoiceEvaluation> choices;
  std::optional<Sample> sample, reference_sample;
};

SampleSettings sample_settings(const EvaluateCommand& command) {
  const TextSettings text = command.text.resolve();
  SampleSettings settings{.prompt = command.sample.prompt,
                          .options = command.sample.options,
                          .bos = text.corpus.bos,
                          .tokenizer = text.tokenizer};
  settings.options.forward = command.compute.resolve(command.common.device);
  return settings;
}

/// What can be found wrong before anything is computed.
void check(const EvaluateCommand& command) {
  if (!command.text.given() && command.choices.empty() && !command.sample.given()) {
    throw Error(ErrorKind::invalid_argument, "evaluate", "needs --text, --token-ids, --choices or --sample",
                "none of them");
  }
  if (command.by_position && !command.text.given()) {
    throw Error(ErrorKind::invalid_argument, "--by-position", "needs --text or --token-ids", "neither");
  }
  if (command.limit.resolve() && (command.reference.empty() || !command.text.given())) {
    throw Error(ErrorKind::invalid_argument, "--max-perplexity-increase",
                "needs --reference, the model to compare with, and a text");
  }
  require_valid(sample_settings(command));
  if (command.json.empty() || command.json == "-") return;
  require_folder_for(command.json);
  require_not_of_input(command.model, command.json);
  if (!command.reference.empty()) require_not_of_input(command.reference, command.json);
}

nlohmann::ordered_json result_json(const Result& result) {
  nlohmann::ordered_json out = result.evaluation ? to_json(*result.evaluation) : nlohmann::ordered_json::object();
  if (result.choices) out["choices"] = to_json(*result.choices);
  if (result.sample) out["sample"] = to_json(*result.sample);
  if (result.reference_sample) out["reference"]["sample"] = to_json(*result.reference_sample);
  return out;
}

void print_result(const EvaluateCommand& command, const Result& result) {
  if (!command.json.empty() && command.json != "-")
    write_file_atomically(command.json, result_json(result).dump(2) + "\n");
  if (command.json == "-") {
    std::printf("%s\n", result_json(result).dump(2).c_str());
    return;
  }
  if (result.evaluation) std::printf("%s", evaluation_summary(*result.evaluation, words_for(*result.text)).c_str());
  if (result.choices) std::printf("%s", choices_summary(*result.choices).c_str());
  if (result.sample) std::printf("%s", sample_summary(command.model, *result.sample).c_str());
  if (!result.reference_sample) return;
  std::printf("%s", sample_summary(command.reference, *result.reference_sample).c_str());
  std::printf("%s", cache_comparison(*result.sample, *result.reference_sample).c_str());
}

int run(const EvaluateCommand& command) {
  check(command);
  command.common.apply_threads();
  keep_freed_memory();
  const EvaluateOptions options = {.forward = command.compute.resolve(command.common.device),
                                   .kv_cache = command.kv_cache.resolve(),
                                   .by_position = command.by_position};
  Console console = command.common.console();
  const Model model = open_model(command.model, console, command.family);
  (void)require_runnable(model);
  require_kv_cache(model, options.kv_cache);
  std::optional<Model> reference;
  if (!command.reference.empty()) {
    reference = open_model(command.reference, console, command.family);
    (void)require_runnable(*reference);
  }
  console.note("qcqa evaluate: " + command.model + ", " + model.architecture().family + ", " + command.compute.compute +
               " on " + options.forward.device.name());
  Result result;
  const Session session = console.session();
  if (command.text.given()) {
    result.text = read_text(model, command.text.resolve(), session);
    if (!command.dump_logits.empty()) dump_logits(model, result.text->windows, options, command.dump_logits);
    result.evaluation =
        evaluate(model, reference ? &*reference : nullptr, result.text->windows, options, console.progress());
  }
  if (!command.choices.empty()) {
    const auto questions = read_questions(model, command.choices, command.text.resolve(), session);
    result.choices = evaluate_choices(model, reference ? &*reference : nullptr, questions, options, console.progress());
  }
  if (command.sample.given()) {
    SampleSettings settings = sample_settings(command);
    if (reference) result.reference_sample = sample(*reference, settings, session);
    settings.options.kv_cache = options.kv_cache;
    result.sample = sample(model, settings, session);
  }
  print_result(command, result);
  return result.evaluation ? check_increase(*result.evaluation, command.limit, console) : int{kOk};
}

}  // namespace

void add_evaluate(CLI::App& app, Action& action) {
  auto command = std::make_shared<EvaluateCommand>();
  CLI::App* sub =
      app.add_subcommand("evaluate", "Measure how well a model predicts a text, alone or beside a reference");
  sub->add_option("MODEL", command->model, "Model folder or GGUF file")->required();
  sub->add_option("--reference", command->reference, "Model to compare with, such as the one that MODEL was made from");
  command->text.add_to(*sub);
  sub->add_option("--choices", command->choices,
                  "Multiple-choice questions, one per line of a .jsonl file: {\"context\": \"...\", \"choices\": "
                  "[\"...\", ...], \"answer\": 0}. Accuracy by the likelihood of the choices (acc) and by that per "
                  "character (acc_norm), as lm-evaluation-harness has them");
  command->sample.add_to(*sub);
  sub->add_option("--json", command->json, "Write the result as JSON to this file; - = standard output");
  command->limit.add_to(*sub);
  sub->add_option("--dump-logits", command->dump_logits,
                  "For testing: write the logits after every token to this folder (model.safetensors, tensor logits)");
  command->compute.add_to(*sub);
  command->kv_cache.add_to(*sub);
  sub->add_flag("--by-position", command->by_position,
                "Cross-entropy also by the place in its window of the token that predicts: 0, 1, 2 to 3, 4 to 7, ...");
  command->family.add_to(*sub);
  command->common.add_to(*sub);
  sub->callback([command, &action] { action = [command] { return run(*command); }; });
}

}  // namespace qcqa::cli
