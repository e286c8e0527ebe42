#include "pipeline/distill_text.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "checkpoint/json_file.hpp"
#include "checkpoint/json_view.hpp"
#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/export/export.hpp"
#include "qcqa/report/report.hpp"
#include "qcqa/support/version.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;

std::string name_of(const Model& model) { return fs::weakly_canonical(model.path()).filename().string(); }

/// Of a model that nobody wrote one for.
std::string new_card(const Model& model, const Model& original) {
  return fmt::format("---\nlibrary_name: transformers\nbase_model: {}\ntags:\n- qcqa\n---\n\n# {}\n", name_of(original),
                     name_of(model));
}

nlohmann::ordered_json identity_in_json(const Model& model) {
  return {{"path", model.path().string()}, {"fingerprint", model.fingerprint()}};
}

}  // namespace

std::string distilled_card(const Model& model, const Model& original, const DistillSettings& settings,
                           const DistillOutcome& outcome) {
  const fs::path before = model.path() / "README.md";
  std::string card = fs::exists(before) ? read_text_file(before) : new_card(model, original);
  if (!card.ends_with('\n')) card += '\n';
  card += fmt::format(
      "\n## Distilled\n\nqcqa {} (commit {}) fitted the {} of `{}` further to the predictions of `{}`, all together "
      "({} steps on {} tokens). What stands above of its quality is of the weights before.\n\n",
      version(), commit(), settings.scope == ReconstructScope::block ? "layers" : "attention of the layers",
      name_of(model), name_of(original), outcome.steps, outcome.tokens);
  card += fmt::format(
      "Measured on {} tokens that it was not fitted to; on other texts it may be otherwise: measure before use.\n\n"
      "| | original | before | after |\n|---|---|---|---|\n| KL divergence from the original, nats | 0 | {:.4f} | "
      "{:.4f} "
      "|\n| cross-entropy, nats per token | {:.4f} | {:.4f} | {:.4f} |\n",
      outcome.held_back_tokens, outcome.before.kl, outcome.after.kl, outcome.original_cross_entropy,
      outcome.before.cross_entropy, outcome.after.cross_entropy);
  if (!settings.command.empty()) card += fmt::format("\n```\n{}\n```\n", settings.command);
  return card;
}

std::string distilled_json(const Model& model, const Model& original, const DistillSettings& settings,
                           const DistillOutcome& outcome) {
  const nlohmann::ordered_json document = {{"schema_version", 1},
                                           {"tool", {{"name", "qcqa"}, {"version", version()}, {"commit", commit()}}},
                                           {"model", identity_in_json(model)},
                                           {"reference", identity_in_json(original)},
                                           {"options", identity_of(settings)},
                                           {"steps", outcome.steps},
                                           {"tokens", outcome.tokens},
                                           {"held_back_tokens", outcome.held_back_tokens},
                                           {"kl_before", outcome.before.kl},
                                           {"kl_after", outcome.after.kl},
                                           {"cross_entropy_original", outcome.original_cross_entropy},
                                           {"cross_entropy_before", outcome.before.cross_entropy},
                                           {"cross_entropy_after", outcome.after.cross_entropy},
                                           {"seconds", outcome.seconds}};
  return document.dump(1) + "\n";
}

std::string carried_report(const Model& model) {
  const fs::path file = model.path() / kReportFile;
  if (!fs::exists(file)) return {};
  auto report = read_json_file<nlohmann::ordered_json>(file);
  if (!report.is_object() || report.erase("evaluation") == 0) return read_text_file(file);
  if (const auto timings = report.find("timings"); timings != report.end() && timings->is_object())
    timings->erase(kEvaluateStage);
  return report.dump(1) + "\n";
}

std::string distilled_since(const fs::path& report) {
  static constexpr std::int64_t kMostTokens = std::int64_t{1} << 62;
  const fs::path file = report.parent_path() / kDistillFile;
  if (!fs::exists(file)) return {};
  const nlohmann::json document = read_json_file(file);
  const JsonView view(document, file.string(), "Distil again, or remove it.");
  const auto number = [&](const char* key) { return view.at(key).number(0); };
  return fmt::format(
      "The model beside this report was distilled after it was written: KL from the original {:.4f} -> {:.4f} nats, "
      "cross-entropy {:.4f} -> {:.4f} (original {:.4f}), on {} tokens that no step saw.",
      number("kl_before"), number("kl_after"), number("cross_entropy_before"), number("cross_entropy_after"),
      number("cross_entropy_original"), view.at("held_back_tokens").integer(0, kMostTokens));
}

}  // namespace qcqa
