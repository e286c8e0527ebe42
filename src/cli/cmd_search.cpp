#include <cstdio>
#include <memory>
#include <optional>

#include "cli/calibration_flags.hpp"
#include "cli/commands.hpp"
#include "cli/evaluate_flags.hpp"
#include "cli/fitness_flag.hpp"
#include "cli/flags.hpp"
#include "cli/freed_memory.hpp"
#include "cli/open_model.hpp"
#include "cli/search_text.hpp"
#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/pipeline/search.hpp"
#include "qcqa/support/error.hpp"
#include "qcqa/support/version.hpp"

namespace qcqa::cli {
namespace {

struct SearchCommand {
  FamilyFlag family;
  std::string model, distances, output, target;
  bool resume = false, force = false;
  CommonFlags common;
  SearchFlags search;
  FitnessFlag fitness;
  CalibrationFlags calibration;
  ComputeFlags compute;
};

SearchSettings settings_of(const SearchCommand& command, int threads) {
  SearchSettings settings;
  settings.search = command.search.resolve(threads);
  settings.fitness = command.fitness.resolve().value_or(FitnessKind::wse);
  settings.calibration = command.calibration.resolve();
  if (!command.target.empty()) settings.target = parse_target(command.target);
  settings.forward = command.compute.resolve(command.common.device);
  return settings;
}

void check(const SearchCommand& command) {
  if (!command.distances.empty() && command.fitness.fitness != "auto") {
    throw Error(ErrorKind::invalid_argument, "--fitness", "is for models", "--distances");
  }
  if (command.output == "-") {
    if (!command.resume) return;
    throw Error(ErrorKind::invalid_argument, "--resume", "needs a report file to resume", "-o -");
  }
  if (command.output.empty() || std::filesystem::is_directory(command.output)) {
    throw Error(ErrorKind::invalid_argument, "--output " + command.output, "must name a file",
                command.output.empty() ? "nothing" : "a folder");
  }
  require_folder_for(command.output);
  require_not_of_input(command.distances.empty() ? command.model : command.distances, command.output);
  if (command.force || !std::filesystem::exists(command.output)) return;
  throw Error(ErrorKind::invalid_argument, command.output, "the report must not exist yet", "a file",
              "Use --force to replace it.");
}

Report report_of(const SearchCommand& command, const SearchSettings& settings, const Session& session,
                 Console& console) {
  if (!command.distances.empty()) {
    console.note("qcqa " + std::string(version()) + " search: distances of " + command.distances);
    return search_distances(command.distances, settings.search, session);
  }
  const Model model = open_model(command.model, console, command.family);
  console.note(preamble(model, "search"));
  if (settings.calibration.given()) keep_freed_memory();
  return search(model, settings, session);
}

int run(const SearchCommand& command) {
  const SearchSettings settings = settings_of(command, command.common.apply_threads());
  check(command);
  Console console = command.common.console();
  console.detail("seed " + std::to_string(settings.search.layer.seed) + ", " + std::to_string(settings.search.threads) +
                 " threads, " + settings.forward.device.name());
  const bool to_stdout = command.output == "-";
  const std::string state = to_stdout ? "" : command.output + ".state";
  const Report report =
      report_of(command, settings, console.session(state, resume_of(command.resume, command.force)), console);
  const std::string document = to_json(report).dump(1) + "\n";
  if (to_stdout) {
    std::fputs(document.c_str(), stdout);
    return kOk;
  }
  write_file_atomically(command.output, document);
  forget_run(state);
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
  sub->add_flag("--force", command->force, "Replace the report, and what an interrupted search has kept");
  command->fitness.add_to(*sub);
  sub->add_option("--target", command->target, "Only plans that this runtime can run: " + describe_targets())
      ->excludes(distances);
  command->search.add_to(*sub);
  command->calibration.add_to(*sub);
  command->calibration.tokenizer.add_to(*sub);
  command->compute.add_to(*sub);
  command->family.add_to(*sub);
  command->common.add_to(*sub);
  sub->callback([command, &action, model, distances] {
    if (model->count() == 0 && distances->count() == 0) throw CLI::RequiredError("MODEL");
    action = [command] { return run(*command); };
  });
}

}  // namespace qcqa::cli
