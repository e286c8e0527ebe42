#include <cstdio>
#include <memory>

#include "cli/commands.hpp"
#include "cli/evaluate_step.hpp"
#include "cli/flags.hpp"
#include "cli/forward_setup.hpp"
#include "cli/open_model.hpp"
#include "cli/search_step.hpp"
#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/report/tables.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa::cli {
namespace {

struct SearchCommand {
  std::string model, distances, output, target;
  bool resume = false, force = false;
  CommonFlags common;
  SearchFlags search;
  FitnessFlags fitness;
  CalibrationFlags calibration;
  ComputeFlags compute;
};

Report search_checkpoint(const SearchCommand& command, SearchOptions options, Fitness fitness,
                         const std::optional<SearchState>& state, Console& console) {
  const Device device = parse_device(command.common.device);
  const ForwardOptions forward = command.compute.resolve(command.common.device);
  const Model model = open_model(command.model, console);
  console.note(preamble(model, "search"));
  if (!command.target.empty()) apply_target(model, parse_target(command.target), options);
  if (command.calibration.given()) prepare_forward(options.threads);
  const TokenSequences calibration =
      collect_calibration(model, command.calibration, options.layer.seed, forward, console);
  return search_model(model, compute_costs(model, fitness, calibration, forward, device, console), options, device,
                      console, state);
}

void check_calibration(const SearchCommand& command, Fitness fitness) {
  command.calibration.check();
  if (!command.distances.empty() && command.fitness.fitness != "auto") {
    throw Error(ErrorKind::invalid_argument, "--fitness", "is for models", "--distances");
  }
  require_use_of(command.calibration, std::nullopt, fitness);
}

int run(const SearchCommand& command) {
  const bool to_stdout = command.output == "-";
  const SearchOptions options = command.search.resolve(command.common.apply_threads());
  const Device device = parse_device(command.common.device);
  const Fitness fitness = command.fitness.resolve();
  check_calibration(command, fitness);
  if (!to_stdout && !command.force && std::filesystem::exists(command.output)) {
    throw Error(ErrorKind::invalid_argument, command.output, "the report must not exist yet", "a file",
                "Use --force to replace it.");
  }
  if (to_stdout && command.resume) {
    throw Error(ErrorKind::invalid_argument, "--resume", "needs a report file to resume", "-o -");
  }
  Console console = command.common.console();
  console.detail("seed " + std::to_string(options.layer.seed) + ", " + std::to_string(options.threads) + " threads, " +
                 device.name());

  std::optional<SearchState> state;
  if (!to_stdout) state = SearchState{command.output + ".state", command.resume};
  const Report report = [&] {
    if (!command.distances.empty()) return search_distances(command.distances, options, console, state);
    return search_checkpoint(command, options, fitness, state, console);
  }();
  const std::string document = to_json(report).dump(1) + "\n";
  if (to_stdout) {
    std::fputs(document.c_str(), stdout);
    return kOk;
  }
  write_file_atomically(command.output, document);
  std::error_code ignored;
  std::filesystem::remove(state->file, ignored);
  if (!command.common.quiet) {
    std::printf("%s", search_summary(report).c_str());
    std::printf("Wrote %s: %zu points, %.1f s. Show it with `qcqa report`%s.\n", command.output.c_str(),
                report.search.front.size(), console.seconds(),
                command.distances.empty() ? ", use it with `qcqa convert --report`" : "");
  }
  return kOk;
}

}  // namespace

void add_search(CLI::App& app, Action& action) {
  auto command = std::make_shared<SearchCommand>();
  CLI::App* sub = app.add_subcommand("search", "Search which KV heads of each layer to share; write a report");
  CLI::Option* model = sub->add_option("MODEL", command->model,
                                       "Model folder (config.json and safetensors or pytorch_model.bin) or GGUF file");
  CLI::Option* distances =
      sub->add_option("--distances", command->distances,
                      "Search this JSON file of head distances instead of a model: {\"num_heads\": N, "
                      "\"layers\": {\"0\": {\"k\": {\"dist\": [[...]]}, \"v\": {...}}}}");
  distances->excludes(model);
  sub->add_option("-o,--output", command->output, "Report file, JSON; - for stdout")->required();
  sub->add_flag("--resume", command->resume, "Go on with an interrupted search of the same output");
  sub->add_flag("--force", command->force, "Replace the report if it exists");
  command->fitness.add_to(*sub);
  sub->add_option("--target", command->target, "Only plans that this runtime can run: " + describe_targets())
      ->excludes(distances);
  command->search.add_to(*sub);
  command->calibration.add_to(*sub);
  command->calibration.tokenizer.add_to(*sub);
  command->compute.add_to(*sub);
  command->common.add_to(*sub);
  sub->callback([command, &action, model, distances] {
    if (model->count() == 0 && distances->count() == 0) throw CLI::RequiredError("MODEL");
    action = [command] { return run(*command); };
  });
}

}  // namespace qcqa::cli
