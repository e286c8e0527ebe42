#include "cli/evaluate_flags.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <span>

#include "cli/choice.hpp"
#include "cli/commands.hpp"
#include "qcqa/report/tables.hpp"
#include "qcqa/support/error.hpp"
#include "report/text_table.hpp"

namespace qcqa::cli {
namespace {

constexpr std::array<Choice<Compute>, 2> kComputes = {{
    {"f32", Compute::f32, ""},
    {"bf16", Compute::bf16, "on a GPU"},
}};

std::string cross_entropy_text(double value, double error) {
  return format_number("%.4f", value) + (error > 0 ? " +/- " + format_number("%.4f", error) : "");
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
  console.note("qcqa: the perplexity rose by " + format_number("%.2f %%", 100 * evaluation.perplexity_increase()) +
               ", more than --max-perplexity-increase " + limit.text);
  return kLimitMissed;
}

std::string evaluation_summary(const Evaluation& evaluation, const std::string& on) {
  std::string out = "Perplexity " + format_number("%.4g", evaluation.perplexity);
  if (evaluation.standard_error > 0)
    out += " +/- " + format_number("%.2g", evaluation.perplexity * evaluation.standard_error);
  out += " (cross-entropy " + cross_entropy_text(evaluation.cross_entropy, evaluation.standard_error) +
         " nats per token), " + std::to_string(evaluation.tokens) + " tokens of " +
         std::to_string(evaluation.documents) + " document(s), " + on + "\n";
  if (const auto& reference = evaluation.reference) {
    out += "Reference " + format_number("%.4g", reference->perplexity) + ": perplexity " +
           format_number("%+.2f %%", 100 * evaluation.perplexity_increase()) + ", cross-entropy " +
           format_number("%+.4f", reference->difference) + " +/- " +
           format_number("%.4f", reference->difference_error) + "; KL " + format_number("%.4f", reference->kl_mean) +
           " mean, " + format_number("%.4f", reference->kl_p99) + " 99th percentile; same likeliest token for " +
           format_number("%.2f %%", 100 * reference->top1_agreement) + "\n";
  }
  return out + "KV cache " + human_bytes(static_cast<double>(evaluation.kv_bytes_per_token)) + " per token; " +
         format_number("%.0f", evaluation.tokens_per_second) +
         " tokens/s. Perplexities of other tools or tokenizers do not compare.\n";
}

}  // namespace qcqa::cli
