#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cstdio>
#include <memory>

#include "checkpoint/gguf.hpp"
#include "cli/commands.hpp"
#include "cli/open_model.hpp"
#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/report/report.hpp"
#include "qcqa/report/sections.hpp"
#include "qcqa/support/human_bytes.hpp"

namespace qcqa::cli {
namespace {

struct InspectCommand {
  std::string model, json;
};

constexpr std::array<std::int64_t, 3> kContexts = {4096, 32768, 131072};

/// Group counts that --layout gqa can write: divisors of the head count, where the family's class has a setting.
std::vector<int> uniform_group_counts(const Model& model) {
  std::vector<int> counts;
  if (model.architecture().kv_heads.key.empty()) return counts;
  const int heads = model.layers().front().kv_heads;
  for (int groups = 1; groups < heads; ++groups) {
    if (heads % groups == 0) counts.push_back(groups);
  }
  return counts;
}

nlohmann::ordered_json inspect_json(const Model& model) {
  const ReportModel facts = describe(model);
  nlohmann::ordered_json contexts = nlohmann::ordered_json::object();
  for (const std::int64_t tokens : kContexts) contexts[std::to_string(tokens)] = tokens * facts.kv_bytes_per_token;
  return {{"schema_version", 1},
          {"path", facts.path},
          {"format", model.gguf()                                                   ? "gguf"
                     : model.checkpoint().format() == CheckpointFormat::safetensors ? "safetensors"
                                                                                    : "pytorch"},
          {"files", model.checkpoint().files().size()},
          {"fingerprint", facts.fingerprint},
          {"family", facts.family},
          {"layers", facts.layers},
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
          {"layouts", {{"gqa", uniform_group_counts(model)}, {"expanded", "any grouping"}}}};
}

/// Of the values, and of what a GGUF file holds them as.
std::string stored_type(const Model& model, const ReportModel& facts) {
  const std::string blocks = model.gguf() ? main_block_type(*model.gguf()) : std::string();
  return blocks.empty() ? facts.dtype : blocks + ", read as " + facts.dtype;
}

std::string inspect_text(const Model& model) {
  const ReportModel facts = describe(model);
  Table table = Table::of_texts(2);
  const auto add = [&](std::string name, std::string value) {
    table.rows.push_back({std::move(name), std::move(value)});
  };
  add("architecture", facts.family);
  add("parameters", fmt::format("{:.4g} million", static_cast<double>(model.parameter_count()) / 1e6));
  add("weights", fmt::format("{} in {} file(s), attention in {}", human_bytes(model.checkpoint().total_bytes()),
                             model.checkpoint().files().size(), stored_type(model, facts)));
  add("layers", std::to_string(facts.layers));
  add("heads per layer",
      fmt::format("{} query, {} key/value, of {}", facts.query_heads, facts.kv_heads, facts.head_dim));
  add("hidden size", std::to_string(facts.hidden_size));
  add("KV cache", human_bytes(facts.kv_bytes_per_token) + " per token");
  for (const std::int64_t tokens : kContexts) {
    add("", fmt::format("{} at {}k tokens", human_bytes(tokens * facts.kv_bytes_per_token), tokens / 1024));
  }
  const std::vector<int> counts = uniform_group_counts(model);
  add("can become",
      model.architecture().kv_heads.key.empty()
          ? fmt::format("no --layout gqa: the {} class has no setting for the number of KV heads", facts.family)
      : counts.empty()
          ? "no --layout gqa: there is one KV head only"
          : fmt::format("--layout gqa with {} KV heads per layer (equal groups)", fmt::join(counts, ", ")));
  add("", "--layout expanded with any grouping (checks quality, saves nothing)");
  add("fingerprint", facts.fingerprint);
  return facts.path + "\n" + text_of(table);
}

int run(const InspectCommand& command) {
  if (command.json != "-") require_not_of_input(command.model, command.json);
  Console console(Console::Level::normal);
  const Model model = open_model(command.model, console);
  if (command.json.empty()) {
    std::fputs(inspect_text(model).c_str(), stdout);
  } else if (command.json == "-") {
    std::fputs((inspect_json(model).dump(1) + "\n").c_str(), stdout);
  } else {
    write_file_atomically(command.json, inspect_json(model).dump(1) + "\n");
  }
  return kOk;
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  auto command = std::make_shared<InspectCommand>();
  CLI::App* sub = app.add_subcommand("inspect", "Show a model's heads, KV cache size and what it can become");
  sub->add_option("MODEL", command->model, "Model folder or GGUF file")->required();
  sub->add_option("--json", command->json, "Write JSON to this file, - for stdout");
  sub->callback([command, &action] { action = [command] { return run(*command); }; });
}

}  // namespace qcqa::cli
