#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

#include "checkpoint/gguf.hpp"
#include "cli/commands.hpp"
#include "cli/flags.hpp"
#include "cli/open_model.hpp"
#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/export/export.hpp"
#include "qcqa/forward/runnable.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/report/report.hpp"
#include "qcqa/report/sections.hpp"
#include "qcqa/support/error.hpp"
#include "qcqa/support/human_bytes.hpp"

namespace qcqa::cli {
namespace {

struct InspectCommand {
  FamilyFlag family;
  std::string model, json, memory;
};

constexpr std::array<std::int64_t, 3> kContexts = {4096, 32768, 131072};

/// Group counts that --layout gqa can write, as a folder or as GGUF: divisors of the head count, where the family's
/// class, or llama.cpp, has a setting.
std::vector<int> uniform_group_counts(const Model& model) {
  std::vector<int> counts;
  const bool has_setting = !model.architecture().kv_heads.key.empty() || has_fused_gguf(model.architecture());
  if (!has_setting || !model.settings().shape().kv_heads_per_layer.empty()) return counts;
  const int heads = model.layers().front().kv_heads;
  for (int groups = 1; groups < heads; ++groups) {
    if (heads % groups == 0) counts.push_back(groups);
  }
  return counts;
}

/// Tokens of one sequence whose KV cache fits into a memory beside the weights, with at most
/// `groups` KV heads per layer; at most the model's positions.
std::int64_t largest_context(const Model& model, std::uint64_t memory, int groups) {
  const std::uint64_t weights = model.checkpoint().total_bytes();
  if (memory <= weights) return 0;
  const auto fits = [&](std::int64_t tokens) {
    return static_cast<std::uint64_t>(model.kv_bytes(tokens, groups)) <= memory - weights;
  };
  std::int64_t least = 0, most = model.settings().shape().max_positions;
  while (least < most) {
    const std::int64_t middle = least + (most - least + 1) / 2;
    if (fits(middle)) {
      least = middle;
    } else {
      most = middle - 1;
    }
  }
  return least;
}

/// Why the model cannot be run here, and so neither evaluated nor calibrated; empty: it can.
std::string why_not_run(const Model& model) {
  try {
    (void)require_runnable(model);
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

/// Runtime -> layout -> what it can hold of the model, or why it can hold nothing.
nlohmann::ordered_json runtimes_json(const Model& model) {
  nlohmann::ordered_json runtimes = nlohmann::ordered_json::object();
  for (const TargetLayout& entry : target_layouts(model)) {
    nlohmann::ordered_json& layout =
        runtimes[std::string(target_name(entry.target))][std::string(layout_name(entry.layout))];
    layout["format"] = entry.format == FileFormat::gguf ? "gguf" : "safetensors";
    layout["possible"] = entry.why_not.empty();
    if (!entry.why_not.empty()) layout["why_not"] = entry.why_not;
    if (entry.same_up_to > 0) layout["same_up_to"] = entry.same_up_to;
  }
  return runtimes;
}

/// The most that a layer of the model has, and those of uniform_group_counts(), falling.
std::vector<int> head_counts(const Model& model) {
  std::vector<int> counts = uniform_group_counts(model);
  counts.push_back(std::ranges::max(model.kv_heads()));
  std::ranges::reverse(counts);
  return counts;
}

nlohmann::ordered_json inspect_json(const Model& model, std::optional<std::uint64_t> memory) {
  const ReportModel facts = describe(model);
  nlohmann::ordered_json contexts = nlohmann::ordered_json::object();
  for (const std::int64_t tokens : kContexts) contexts[std::to_string(tokens)] = model.kv_bytes(tokens);
  nlohmann::ordered_json json = {
      {"schema_version", 1},
      {"path", facts.path},
      {"format", model.gguf()                                                   ? "gguf"
                 : model.checkpoint().format() == CheckpointFormat::safetensors ? "safetensors"
                                                                                : "pytorch"},
      {"files", model.checkpoint().files().size()},
      {"fingerprint", facts.fingerprint},
      {"family", facts.family},
      {"layers", facts.layers},
      {"layers_with_heads", model.places()},
      {"query_heads", facts.query_heads},
      {"kv_heads", facts.kv_heads},
      {"kv_heads_per_layer", model.kv_heads()},
      {"head_dim", facts.head_dim},
      {"hidden_size", facts.hidden_size},
      {"dtype", facts.dtype},
      {"parameters", model.parameter_count()},
      {"tensor_bytes", model.checkpoint().total_bytes()},
      {"kv_bytes_per_token", facts.kv_bytes_per_token},
      {"kv_bytes_at_context", std::move(contexts)},
      {"layouts", {{"gqa", uniform_group_counts(model)}, {"expanded", "any grouping"}}},
      {"runtimes", runtimes_json(model)}};
  const std::string why_not = why_not_run(model);
  json["can_be_run"] = why_not.empty();
  if (!why_not.empty()) json["why_not_run"] = why_not;
  if (memory) {
    nlohmann::ordered_json& largest = json["largest_context"];
    largest["memory"] = *memory;
    for (const int heads : head_counts(model))
      largest["by_kv_heads"][std::to_string(heads)] = largest_context(model, *memory, heads);
  }
  return json;
}

/// Of the values, and of what a GGUF file holds them as.
std::string stored_type(const Model& model, const ReportModel& facts) {
  const std::string blocks = model.gguf() ? main_block_type(*model.gguf()) : std::string();
  return blocks.empty() ? facts.dtype : blocks + ", read as " + facts.dtype;
}

/// What a runtime can hold of the model, in words; empty: nothing.
/// @param layouts  target_layouts() of the model
/// @param counts   its uniform_group_counts()
std::string layouts_text(const std::vector<TargetLayout>& layouts, const std::vector<int>& counts, Target target) {
  std::vector<std::string> parts;
  for (const TargetLayout& entry : layouts) {
    if (entry.target != target || !entry.why_not.empty()) continue;
    const std::string layout = fmt::format("--layout {}{}", layout_name(entry.layout),
                                           entry.format == FileFormat::gguf ? " --format gguf" : "");
    const bool is_uniform = entry.layout == Layout::gqa;
    if (is_uniform && counts.empty()) continue;
    const std::string holds =
        is_uniform ? fmt::format("{} KV heads per layer", fmt::join(counts, ", ")) : "counts by layer";
    parts.push_back(
        fmt::format("{} ({}{})", layout, holds,
                    entry.same_up_to > 0 ? fmt::format(", texts of up to {} tokens", entry.same_up_to) : ""));
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

std::string inspect_text(const Model& model, std::optional<std::uint64_t> memory) {
  const ReportModel facts = describe(model);
  Table table = Table::of_texts(2);
  const auto add = [&](std::string name, std::string value) {
    table.rows.push_back({std::move(name), std::move(value)});
  };
  add("architecture", facts.family);
  add("parameters", fmt::format("{:.4g} million", static_cast<double>(model.parameter_count()) / 1e6));
  add("weights", fmt::format("{} in {} file(s), attention in {}", human_bytes(model.checkpoint().total_bytes()),
                             model.checkpoint().files().size(), stored_type(model, facts)));
  const int all = model.settings().shape().layers;
  add("layers", all == facts.layers ? std::to_string(all)
                                    : fmt::format("{}, of which {} have heads: {}", all, facts.layers,
                                                  fmt::join(model.places(), ", ")));
  add("heads per layer",
      fmt::format("{} query, {} key/value, of {}", facts.query_heads, facts.kv_heads, facts.head_dim));
  add("hidden size", std::to_string(facts.hidden_size));
  add("KV cache", human_bytes(facts.kv_bytes_per_token) + " per token");
  for (const std::int64_t tokens : kContexts) {
    add("", fmt::format("{} at {}k tokens", human_bytes(model.kv_bytes(tokens)), tokens / 1024));
  }
  if (memory && *memory <= model.checkpoint().total_bytes()) {
    add("context", "none: the weights alone take " + human_bytes(model.checkpoint().total_bytes()));
  } else if (memory) {
    std::string name = "context";
    for (const int heads : head_counts(model)) {
      const std::int64_t tokens = largest_context(model, *memory, heads);
      const bool all = tokens == model.settings().shape().max_positions;
      add(std::exchange(name, ""),
          fmt::format("{} tokens{} in {} with the weights, with {}{} KV head{} per layer", tokens,
                      all ? " (all that it was made for)" : "", human_bytes(static_cast<std::int64_t>(*memory)),
                      model.settings().shape().kv_heads_per_layer.empty() ? "" : "at most ", heads,
                      heads == 1 ? "" : "s"));
    }
  }
  std::string name = "can become";
  const std::vector<TargetLayout> layouts = target_layouts(model);
  const std::vector<int> counts = uniform_group_counts(model);
  for (const TargetInfo& target : target_infos()) {
    const std::string text = layouts_text(layouts, counts, target.target);
    add(std::exchange(name, ""), fmt::format("for {}: {}", target.name, text.empty() ? "nothing" : text));
  }
  add("", "to look at quality: --layout expanded with any grouping, which saves nothing");
  if (const std::string why_not = why_not_run(model); !why_not.empty()) add("cannot be run", why_not);
  add("fingerprint", facts.fingerprint);
  return facts.path + "\n" + text_of(table);
}

int run(const InspectCommand& command) {
  if (command.json != "-") require_not_of_input(command.model, command.json);
  std::optional<std::uint64_t> memory;
  if (!command.memory.empty()) memory = parse_size(command.memory, "--memory");
  Console console(Console::Level::normal);
  const Model model = open_model(command.model, console, command.family);
  if (command.json.empty()) {
    std::fputs(inspect_text(model, memory).c_str(), stdout);
  } else if (command.json == "-") {
    std::fputs((inspect_json(model, memory).dump(1) + "\n").c_str(), stdout);
  } else {
    write_file_atomically(command.json, inspect_json(model, memory).dump(1) + "\n");
  }
  return kOk;
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  auto command = std::make_shared<InspectCommand>();
  CLI::App* sub = app.add_subcommand("inspect", "Show a model's heads, KV cache size and what it can become");
  sub->add_option("MODEL", command->model, "Model folder or GGUF file")->required();
  sub->add_option("--memory", command->memory,
                  "Show the longest sequence whose KV cache fits into so much memory beside the weights, such as 24GB");
  command->family.add_to(*sub);
  sub->add_option("--json", command->json, "Write JSON to this file, - for stdout");
  sub->callback([command, &action] { action = [command] { return run(*command); }; });
}

}  // namespace qcqa::cli
