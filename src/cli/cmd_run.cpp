#include <cstdio>
#include <memory>

#include "cli/commands.hpp"
#include "cli/export_step.hpp"
#include "cli/flags.hpp"
#include "cli/search_step.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa::cli {
namespace {

struct RunCommand {
  std::string model;
  double kv = 0.5;
  bool resume = false;
  CommonFlags common;
  SearchFlags search;
  ExportFlags output;
};

int run(const RunCommand& command) {
  const SearchOptions options = command.search.resolve(command.common.apply_threads());
  const ExportOptions output = command.output.resolve();
  const Device device = parse_device(command.common.device);
  if (!(command.kv > 0 && command.kv <= 1)) {
    throw Error(ErrorKind::invalid_argument, "--kv", "must be a fraction in (0, 1]", std::to_string(command.kv));
  }
  Console console = command.common.console();
  const Model model = Model::open(command.model);
  console.note(preamble(model, "run"));
  check_output(model, command.output);
  require_layout(model, output.layout);

  std::filesystem::path folder(command.output.output);
  if (!folder.has_filename()) folder = folder.parent_path();  // a trailing slash
  const SearchState state{folder.string() + ".search-state", command.resume};
  Report report = search_model(model, options, device, console, state);
  if (!command.common.quiet) std::printf("%s", search_summary(report).c_str());
  const Plan plan = plan_for_fraction(report.search, model.total_kv_heads(), command.kv,
                                      output.layout == Layout::gqa ? PlanShape::uniform : PlanShape::any);
  export_step(model, plan, std::move(report), command.output, console);
  std::error_code ignored;
  if (!command.output.dry_run) std::filesystem::remove(state.file, ignored);
  return kOk;
}

}  // namespace

void add_run(CLI::App& app, Action& action) {
  auto command = std::make_shared<RunCommand>();
  CLI::App* sub = app.add_subcommand("run", "Search and convert in one go");
  sub->add_option("MODEL", command->model, "Model folder (config.json and safetensors or pytorch_model.bin)")->required();
  sub->add_option("--kv", command->kv, "Largest fraction of the KV cache to keep")->capture_default_str();
  sub->add_flag("--resume", command->resume, "Go on with an interrupted run of the same output");
  command->output.add_to(*sub);
  command->search.add_to(*sub);
  command->common.add_to(*sub);
  sub->callback([command, &action] { action = [command] { return run(*command); }; });
}

}  // namespace qcqa::cli
