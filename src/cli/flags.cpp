#include "cli/flags.hpp"

#include <ATen/Parallel.h>
#include <omp.h>

#include <array>
#include <charconv>

#include "cli/choice.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa::cli {
namespace {

struct Kinds {
  bool arbitrary, equal;
};
constexpr std::array<Choice<Kinds>, 3> kKindsOfGroups = {{
    {"both", {true, true}, "both of the following"},
    {"arbitrary", {true, false}, "groups of any size, AC in the paper"},
    {"equal", {false, true}, "groups of equal size, EC"},
}};

constexpr std::array<Choice<Stage2>, 2> kStage2 = {{
    {"front", Stage2::front, "any grouping of the layer's front"},
    {"binary", Stage2::binary, "keep the layer or group it into --binary-groups, as the paper"},
}};

constexpr std::array<Choice<std::optional<Dtype>>, 5> kDtypes = {{
    {"keep", std::nullopt, "each tensor's own"},
    {"f32", Dtype::f32, ""},
    {"f16", Dtype::f16, ""},
    {"bf16", Dtype::bf16, ""},
    {"f64", Dtype::f64, ""},
}};

template <typename T, std::size_t N>
std::span<const Choice<T>> rows(const std::array<Choice<T>, N>& choices) {
  return choices;
}

const std::vector<Choice<Layout>>& layout_choices() {
  static const std::vector<Choice<Layout>> kLayouts = [] {
    std::vector<Choice<Layout>> choices;
    for (const LayoutInfo& info : layout_infos()) choices.push_back({info.name, info.layout, info.help});
    return choices;
  }();
  return kLayouts;
}

const std::vector<Choice<Target>>& target_choices() {
  static const std::vector<Choice<Target>> kTargets = [] {
    std::vector<Choice<Target>> choices;
    for (const TargetInfo& info : target_infos()) choices.push_back({info.name, info.target, info.help});
    return choices;
  }();
  return kTargets;
}

const std::vector<Choice<Strategy>>& strategy_choices() {
  static const std::vector<Choice<Strategy>> kStrategies = [] {
    std::vector<Choice<Strategy>> choices;
    for (const StrategyInfo& info : strategy_infos()) choices.push_back({info.name, info.strategy, info.help});
    return choices;
  }();
  return kStrategies;
}

constexpr std::array<Choice<FileFormat>, 2> kFormats = {{
    {"safetensors", FileFormat::safetensors, "a complete model folder"},
    {"gguf", FileFormat::gguf, "one file with the tokenizer inside, for llama.cpp"},
}};
constexpr std::string_view kAutoLayout = "auto";

std::string& stored_command_line() {
  static std::string line;
  return line;
}

}  // namespace

void CommonFlags::add_to(CLI::App& command) {
  command.add_flag("-q,--quiet", quiet, "Print errors and the result only");
  command.add_flag("-v,--verbose", verbose, "Print more");
  command
      .add_option(
          "-j,--threads", threads,
          "Threads; 0 = all cores. Changes no result, unless `qcqa --version -v` says that last digits depend on it")
      ->capture_default_str();
  command.add_option("--device", device, "auto, cpu, cuda or cuda:N")->capture_default_str();
}

Console CommonFlags::console() const {
  return Console(quiet ? Console::Level::quiet : verbose ? Console::Level::verbose : Console::Level::normal);
}

int CommonFlags::apply_threads() const {
  static constexpr int kMostThreads = 4096;
  if (threads < 0 || threads > kMostThreads) {
    throw Error(ErrorKind::invalid_argument, "--threads", "must be from 0 to " + std::to_string(kMostThreads),
                std::to_string(threads));
  }
  const int applied = threads > 0 ? threads : omp_get_max_threads();
  at::set_num_threads(applied);  // OpenMP's too
  return applied;
}

void SearchFlags::add_to(CLI::App& command) {
  const std::string group = "Search";
  const auto number = [&](const char* name, auto& value, const char* help) {
    command.add_option(name, value, help)->group(group)->capture_default_str();
  };
  command.add_option("--cardinality", cardinality, "Kinds of groups: " + describe_choices(rows(kKindsOfGroups)))
      ->group(group)
      ->capture_default_str();
  command.add_option("--strategy", strategy, "How to search: " + describe_choices(std::span(strategy_choices())))
      ->group(group)
      ->capture_default_str();
  command.add_flag("--warm-start", options.warm_start, "With --strategy nsga2: start from local-search solutions")
      ->group(group);
  command
      .add_flag(
          "--uniform", uniform,
          "Only plans with one group count for all layers, equal groups (else `run` measures whether a plan chosen "
          "layer by layer is better)")
      ->group(group);
  number(
      "--tensor-parallel", options.limits.tensor_parallel,
      "Devices that the model will be served on, a divisor of its query heads: every layer keeps a number of KV heads "
      "that is a multiple or, in equal groups, a divisor of it");
  command
      .add_option("--keep-layers", options.keep_layers,
                  "Layers that keep all their heads, such as 0,1,31; numbered among those that have heads")
      ->group(group)
      ->delimiter(',');
  number("--min-groups", options.layer.min_groups, "Smallest number of groups (KV heads) per layer");
  number("--max-groups", options.layer.max_groups, "Largest number of groups per layer; 0 = all heads");
  number("--population", options.layer.nsga2.population, "NSGA-II population, each layer");
  number("--generations", options.layer.nsga2.generations, "NSGA-II generations, each layer");
  number("--model-population", options.model_nsga2.population, "The same, over layers (stage 2)");
  number("--model-generations", options.model_nsga2.generations, "The same, over layers (stage 2)");
  number("--crossover-probability", options.layer.nsga2.crossover_probability,
         "Chance that two parents are recombined");
  number("--mutation-probability", options.layer.nsga2.mutation_probability, "Chance that a child is mutated");
  command.add_option("--stage2", stage2, "What a layer may become: " + describe_choices(rows(kStage2)))
      ->group(group)
      ->capture_default_str();
  number("--binary-groups", options.binary_groups,
         "Groups of a grouped layer with --stage2 binary; 0 = half the heads");
  number("--seed", options.layer.seed, "Seed of everything random; the same seed gives the same result");
}

Target parse_target(const std::string& name) { return parse_choice(std::span(target_choices()), name, "--target"); }

std::string describe_targets() { return describe_choices(std::span(target_choices())); }

SearchOptions SearchFlags::resolve(int threads) const {
  SearchOptions resolved = options;
  const Kinds kinds = parse_choice(rows(kKindsOfGroups), cardinality, "--cardinality");
  resolved.arbitrary = kinds.arbitrary;
  resolved.equal = kinds.equal;
  resolved.strategy = parse_choice(std::span(strategy_choices()), strategy, "--strategy");
  resolved.stage2 = parse_choice(rows(kStage2), stage2, "--stage2");
  resolved.model_nsga2.crossover_probability = options.layer.nsga2.crossover_probability;
  resolved.model_nsga2.mutation_probability = options.layer.nsga2.mutation_probability;
  resolved.threads = threads;
  if (uniform) {
    resolved.limits = PlanLimits::uniform();
    resolved.limits.tensor_parallel = options.limits.tensor_parallel;
  }
  return resolved;
}

void add_force(CLI::App& command, bool& force) {
  command.add_flag("--force", force, "Replace the output if qcqa wrote it, and what an interrupted run has kept")
      ->group(kOutputGroup);
}

std::filesystem::path output_folder(const std::string& output) {
  const std::filesystem::path folder = output;
  return folder.has_filename() ? folder : folder.parent_path();
}

void OutputFlags::add_to(CLI::App& command) {
  const std::string group = kOutputGroup;
  command.add_option("-o,--output", output, "New folder for the converted model")->required()->group(group);
  layout_option =
      command.add_option("--layout", layout,
                         "How it is written: " + describe_choices(std::span(layout_choices())) +
                             ", auto (chosen for the plan and --target; the default with --target or --format gguf)");
  layout_option->group(group)->capture_default_str();
  command.add_option("--format", format, "Kind of file: " + describe_choices(rows(kFormats)))
      ->group(group)
      ->capture_default_str();
  command.add_option("--target", target, "Runtime to choose a layout for: " + describe_targets())->group(group);
  command.add_option("--dtype", dtype, "Type of all floating-point tensors: " + describe_choices(rows(kDtypes)))
      ->group(group)
      ->capture_default_str();
  command.add_option("--max-shard-size", max_shard_size, "Tensor bytes per file, such as 5GB or 500MB")
      ->group(group)
      ->capture_default_str();
  add_force(command, force);
  command.add_flag("--dry-run", dry_run, "Show the plan, sizes and memory needed; write nothing")->group(group);
}

OutputSettings OutputFlags::resolve() const {
  OutputSettings settings{.folder = output_folder(output), .target = automatic_for()};
  ExportOptions& options = settings.options;
  options.format = parse_choice(rows(kFormats), format, "--format");
  if (!settings.target) options.layout = parse_choice(std::span(layout_choices()), layout, "--layout");
  options.dtype = parse_choice(rows(kDtypes), dtype, "--dtype");
  options.writer.max_shard_bytes = parse_size(max_shard_size, "--max-shard-size");
  options.command = command_line();
  settings.overwrite = force ? Overwrite::replace : Overwrite::refuse;
  settings.dry_run = dry_run;
  return settings;
}

std::optional<Target> OutputFlags::automatic_for() const {
  const bool gguf = parse_choice(rows(kFormats), format, "--format") == FileFormat::gguf;
  const bool given = layout_option && layout_option->count() > 0 && layout != kAutoLayout;
  if (!target.empty()) {
    if (given) {
      throw Error(ErrorKind::invalid_argument, "--target", "chooses the layout, so none can be given",
                  "--layout " + layout, "Give one of the two.");
    }
    const Target wanted = parse_target(target);
    if (gguf && wanted != Target::llama_cpp) {
      throw Error(ErrorKind::invalid_argument, "--target", "only llama.cpp reads --format gguf", target);
    }
    return wanted;
  }
  if (gguf && !given) return Target::llama_cpp;
  if (layout == kAutoLayout)
    throw Error(ErrorKind::invalid_argument, "--layout auto", "needs --target, the runtime to choose for", "none");
  return std::nullopt;
}

std::uint64_t parse_size(const std::string& text, const std::string& option) {
  struct Unit {
    std::string_view name;
    double bytes;
  };
  static constexpr std::array kUnits = {Unit{"", 1},
                                        Unit{"B", 1},
                                        Unit{"KB", 1e3},
                                        Unit{"MB", 1e6},
                                        Unit{"GB", 1e9},
                                        Unit{"TB", 1e12},
                                        Unit{"KiB", 1024.0},
                                        Unit{"MiB", 1048576.0},
                                        Unit{"GiB", 1073741824.0},
                                        Unit{"TiB", 1099511627776.0}};
  static constexpr double kLeastWithoutUnit = 1e6;
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  for (const Unit& known : kUnits) {
    if (error != std::errc() || unit != known.name) continue;
    const double bytes = number * known.bytes;
    // Of "--memory 24" a unit is missing.
    if (!(bytes >= (unit.empty() ? kLeastWithoutUnit : 1) && bytes < 9e18)) break;
    return static_cast<std::uint64_t>(bytes);
  }
  throw Error(ErrorKind::invalid_argument, option,
              "must be a size such as 5GB, 500MB or 2GiB, or at least a million bytes", text);
}

Resume resume_of(bool resume, bool force) {
  return resume ? Resume::go_on : force ? Resume::start_over : Resume::refuse;
}

void remember_command_line(int argc, const char* const* argv) {
  std::string& line = stored_command_line();
  line = "qcqa";
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--resume") continue;  // the result is that of a run which was never interrupted
    const bool plain = !argument.empty() && argument.find_first_of(" \t\n'\"\\$&|;<>()*?#`") == std::string::npos;
    line += plain ? " " + argument : " '" + argument + "'";
  }
}

const std::string& command_line() { return stored_command_line(); }

}  // namespace qcqa::cli
