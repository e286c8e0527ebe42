#include "cli/evaluate_flags.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <span>

#include "cli/choice.hpp"
#include "cli/commands.hpp"
#include "qcqa/report/sections.hpp"
#include "qcqa/support/error.hpp"
#include "qcqa/support/human_bytes.hpp"

namespace qcqa::cli {
namespace {

constexpr std::array<Choice<Compute>, 2> kComputes = {{
    {"f32", Compute::f32, ""},
    {"bf16", Compute::bf16, "on a GPU"},
}};

std::vector<Choice<KvCacheType>> kv_cache_choices() {
  std::vector<Choice<KvCacheType>> choices;
  for (const KvCacheFormat& format : kv_cache_formats()) choices.push_back({format.name, format.type, format.help});
  return choices;
}

std::string cross_entropy_text(double value, double error) {
  return error > 0 ? fmt::format("{:.4f} +/- {:.4f}", value, error) : fmt::format("{:.4f}", value);
}

/// "6.8 KiB per token, 1.8 KiB as q8_0; the reference's 13.5 KiB, 3.6 KiB as q8_0"
std::string kv_cache_text(const Evaluation& evaluation) {
  const auto& cache = evaluation.kv_cache;
  const auto rounded = [&](std::int64_t bytes) {
    return fmt::format(", {} as {}", human_bytes(bytes), kv_cache_format(cache->type).name);
  };
  std::string text = human_bytes(evaluation.kv_bytes_per_token) + " per token";
  if (cache) text += rounded(cache->bytes_per_token);
  if (!evaluation.reference) return text;
  text += "; the reference's " + human_bytes(evaluation.reference->kv_bytes_per_token);
  return cache ? text + rounded(*cache->reference_bytes_per_token) : text;
}

Table position_table(const Evaluation& evaluation) {
  Table table{.columns = {{"position"}, {"tokens"}, {"cross-entropy"}}};
  if (evaluation.reference) table.columns.push_back({"difference"});
  for (const PositionBucket& bucket : evaluation.by_position) {
    const std::int64_t last = bucket.end - 1;
    table.rows.push_back({bucket.begin == last ? std::to_string(last) : fmt::format("{}-{}", bucket.begin, last),
                          std::to_string(bucket.tokens), fmt::format("{:.4f}", bucket.cross_entropy)});
    if (bucket.difference) table.rows.back().push_back(fmt::format("{:+.4f}", *bucket.difference));
  }
  return table;
}

std::string accuracy_text(const ChoiceAccuracy& accuracy) {
  return fmt::format("acc {:.4f} +/- {:.4f}, acc_norm {:.4f} +/- {:.4f}", accuracy.acc, accuracy.acc_stderr,
                     accuracy.acc_norm, accuracy.acc_norm_stderr);
}

}  // namespace

void ComputeFlags::add_to(CLI::App& command) {
  command
      .add_option("--compute", compute,
                  "Type to compute in: " + describe_choices(std::span<const Choice<Compute>>(kComputes)))
      ->capture_default_str();
}

ForwardOptions ComputeFlags::resolve(const std::string& device) const {
  return {parse_device(device), parse_choice(std::span<const Choice<Compute>>(kComputes), compute, "--compute")};
}

void KvCacheFlag::add_to(CLI::App& command) {
  command
      .add_option("--kv-cache", type,
                  "Round MODEL's keys and values to what a KV cache of this type holds (the reference's stay as they "
                  "are): " +
                      describe_choices(std::span<const Choice<KvCacheType>>(kv_cache_choices())))
      ->capture_default_str();
}

KvCacheType KvCacheFlag::resolve() const {
  return parse_choice(std::span<const Choice<KvCacheType>>(kv_cache_choices()), type, "--kv-cache");
}

void IncreaseLimit::add_to(CLI::App& command) {
  command.add_option("--max-perplexity-increase", text,
                     "Exit with 1 when the perplexity is higher than the reference's by more than this, such as 10%");
}

std::optional<double> IncreaseLimit::resolve() const {
  if (text.empty()) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (error != std::errc() || (!rest.empty() && rest != "%") || !(value >= 0) || !std::isfinite(value)) {
    throw Error(ErrorKind::invalid_argument, "--max-perplexity-increase",
                "must be a fraction or a percentage, such as 0.1 or 10%", text);
  }
  return rest.empty() ? value : value / 100;
}

int check_increase(const Evaluation& evaluation, const IncreaseLimit& limit, Console& console) {
  const std::optional<double> most = limit.resolve();
  if (!most || evaluation.perplexity_increase() <= *most) return kOk;
  console.note(fmt::format("qcqa: the perplexity rose by {:.2f} %, more than --max-perplexity-increase {}",
                           100 * evaluation.perplexity_increase(), limit.text));
  return kLimitMissed;
}

std::string evaluation_summary(const Evaluation& evaluation, const std::string& on) {
  std::string out = fmt::format("Perplexity {:.4g}", evaluation.perplexity);
  if (evaluation.standard_error > 0) {
    out += fmt::format(" +/- {:.2g}", evaluation.perplexity * evaluation.standard_error);
  }
  out += fmt::format(" (cross-entropy {} nats per token), {} tokens of {} document(s), {}\n",
                     cross_entropy_text(evaluation.cross_entropy, evaluation.standard_error), evaluation.tokens,
                     evaluation.documents, on);
  if (const auto& reference = evaluation.reference) {
    out += fmt::format(
        "Reference {:.4g}: perplexity {:+.2f} %, cross-entropy {:+.4f} +/- {:.4f}; KL {:.4f} mean, {:.4f} 99th "
        "percentile; same likeliest token for {:.2f} %\n",
        reference->perplexity, 100 * evaluation.perplexity_increase(), reference->difference,
        reference->difference_error, reference->kl_mean, reference->kl_p99, 100 * reference->top1_agreement);
  }
  if (!evaluation.by_position.empty()) out += text_of(position_table(evaluation));
  return out + fmt::format("KV cache {}. {:.0f} tokens/s. Perplexities of other tools or tokenizers do not compare.\n",
                           kv_cache_text(evaluation), evaluation.tokens_per_second);
}

std::string choices_summary(const ChoiceEvaluation& choices) {
  std::string out = fmt::format("Choices: {}, {} questions\n", accuracy_text(choices.accuracy), choices.questions);
  if (const auto& reference = choices.reference) {
    out += fmt::format("Reference: {}; {} answers changed, {} by acc_norm\n", accuracy_text(reference->accuracy),
                       reference->changed, reference->changed_norm);
  }
  return out;
}

}  // namespace qcqa::cli
