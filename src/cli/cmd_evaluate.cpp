#include <cstdio>
#include <memory>
#include <optional>

#include <ATen/Parallel.h>

#include "cli/commands.hpp"
#include "cli/evaluate_step.hpp"
#include "cli/flags.hpp"
#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa::cli {
namespace {

struct EvaluateCommand {
  std::string model, reference, json, max_increase, dump_logits;
  TextFlags text;
  ComputeFlags compute;
  CommonFlags common;
};

void check(const EvaluateCommand& command) {
  if (!command.text.given()) throw Error(ErrorKind::invalid_argument, "evaluate", "needs --token-ids", "none");
  if (!command.max_increase.empty() && command.reference.empty()) {
    throw Error(ErrorKind::invalid_argument, "--max-perplexity-increase",
                "needs --reference, the model to compare with", "none");
  }
}

void print_result(const EvaluateCommand& command, const Evaluation& evaluation, const EvaluationText& text) {
  if (command.json == "-") {
    std::printf("%s\n", to_json(evaluation).dump(2).c_str());
    return;
  }
  std::printf("%s", evaluation_summary(evaluation, text).c_str());
  if (!command.json.empty()) write_file_atomically(command.json, to_json(evaluation).dump(2) + "\n");
}

int run(const EvaluateCommand& command) {
  check(command);
  const double limit =
      command.max_increase.empty() ? 0 : parse_increase(command.max_increase, "--max-perplexity-increase");
  at::set_num_threads(command.common.apply_threads());
  const EvaluateOptions options{command.compute.resolve(command.common.device)};
  Console console = command.common.console();
  const Model model = Model::open(command.model);
  std::optional<Model> reference;
  if (!command.reference.empty()) reference = Model::open(command.reference);
  const EvaluationText text = read_text(model, command.text);
  console.note("qcqa evaluate: " + command.model + ", " + model.architecture().family + ", " + command.compute.compute +
               " on " + options.forward.device.name());
  if (!command.dump_logits.empty()) dump_logits(model, text.windows, options, command.dump_logits);

  const Evaluation evaluation =
      evaluate(model, reference ? &*reference : nullptr, text.windows, options, console.progress());
  print_result(command, evaluation, text);
  if (command.max_increase.empty() || evaluation.perplexity_increase() <= limit) return kOk;
  console.note("qcqa evaluate: perplexity rose by more than " + command.max_increase + " (--max-perplexity-increase)");
  return kLimitMissed;
}

}  // namespace

void add_evaluate(CLI::App& app, Action& action) {
  auto command = std::make_shared<EvaluateCommand>();
  CLI::App* sub =
      app.add_subcommand("evaluate", "Measure how well a model predicts a text: perplexity, and KL to a reference");
  sub->add_option("MODEL", command->model, "Model folder")->required();
  sub->add_option("--reference", command->reference, "Model to compare with, such as the one it was made from");
  command->text.add_to(*sub);
  sub->add_option("--json", command->json, "Write the result as JSON to this file; - = standard output");
  sub->add_option("--max-perplexity-increase", command->max_increase,
                  "Exit with 1 when the perplexity is higher than the reference's by more than this, such as 10%");
  sub->add_option("--dump-logits", command->dump_logits,
                  "For testing: write the logits after every token to this folder (model.safetensors, tensor logits)");
  command->compute.add_to(*sub);
  command->common.add_to(*sub);
  sub->callback([command, &action] { action = [command] { return run(*command); }; });
}

}  // namespace qcqa::cli
