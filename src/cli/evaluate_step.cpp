#include "cli/evaluate_step.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <span>

#include "cli/choice.hpp"
#include "qcqa/report/tables.hpp"
#include "qcqa/support/error.hpp"
#include "report/text_table.hpp"

namespace qcqa::cli {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::array<Choice<Compute>, 2> kComputes = {{
    {"f32", Compute::f32, ""},
    {"bf16", Compute::bf16, "on a GPU"},
}};

/// Longest windows when nothing else is said: more would take memory and time for little more knowledge.
constexpr std::size_t kDefaultContext = 2048;

std::size_t resolve_context(const Model& model, const TextFlags& flags) {
  const auto positions = model.config().find("max_position_embeddings");
  const bool known =
      positions != model.config().end() && positions->is_number_integer() && positions->get<std::int64_t>() > 0;
  const std::size_t most = known ? positions->get<std::size_t>() : kDefaultContext;
  if (flags.context == 0) return std::min(most, kDefaultContext);
  if (flags.context < 2 || (known && flags.context > most)) {
    throw Error(ErrorKind::invalid_argument, "--context",
                "must be from 2 to the model's number of positions, " + std::to_string(most),
                std::to_string(flags.context));
  }
  return flags.context;
}

std::vector<std::vector<std::int32_t>> read_token_ids(const TextFlags& flags) {
  std::ifstream stream(flags.token_ids);
  if (!stream) throw Error(ErrorKind::not_found, flags.token_ids, "must be a readable file");
  std::vector<std::vector<std::int32_t>> documents;
  std::string line;
  for (std::size_t number = 1; std::getline(stream, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (flags.max_documents > 0 && documents.size() == flags.max_documents) break;
    try {
      documents.push_back(json::parse(line).get<std::vector<std::int32_t>>());
    } catch (const json::exception& error) {
      throw Error(ErrorKind::corrupt, flags.token_ids + ": line " + std::to_string(number),
                  "must be a JSON array of token ids", error.what());
    }
  }
  return documents;
}

std::string cross_entropy_text(double value, double error) {
  return format_number("%.4f", value) + (error > 0 ? " +/- " + format_number("%.4f", error) : "");
}

}  // namespace

void TextFlags::add_to(CLI::App& command) {
  const std::string group = "Text";
  command
      .add_option("--token-ids", token_ids,
                  "File of token ids: one document per line, a JSON array of integers, BOS included")
      ->group(group);
  command.add_option("--context", context, "Tokens a window has at most; 0 = the model's positions, at most 2048")
      ->group(group)
      ->capture_default_str();
  command
      .add_option(
          "--stride", stride,
          "Tokens from one window of a document to the next; 0 = context - 1. Smaller overlaps them, which gives "
          "every token more context")
      ->group(group)
      ->capture_default_str();
  command.add_flag("--truncate", truncate, "Keep only the first window of a document")->group(group);
  command.add_option("--max-documents", max_documents, "Documents to use; 0 = all")
      ->group(group)
      ->capture_default_str();
  command.add_option("--max-tokens", max_tokens, "Tokens to predict; 0 = all")->group(group)->capture_default_str();
}

EvaluationText read_text(const Model& model, const TextFlags& flags) {
  EvaluationText text;
  text.context = resolve_context(model, flags);
  const std::size_t stride = flags.stride == 0 ? text.context - 1 : flags.stride;
  if (stride >= text.context) {
    throw Error(ErrorKind::invalid_argument, "--stride",
                "must be from 1 to context - 1, " + std::to_string(text.context - 1), std::to_string(stride));
  }
  text.documents = read_token_ids(flags);
  std::size_t left = flags.max_tokens == 0 ? static_cast<std::size_t>(-1) : flags.max_tokens;
  for (std::size_t document = 0; document < text.documents.size() && left > 0; ++document) {
    const std::span<const std::int32_t> ids = text.documents[document];
    std::size_t scored = 1;
    for (std::size_t begin = 0; scored < ids.size() && left > 0; begin += stride) {
      const std::size_t end =
          std::min({ids.size(), begin + text.context, left > ids.size() ? ids.size() : scored + left});
      text.windows.push_back({ids.subspan(begin, end - begin), scored - begin, document});
      left -= end - scored;
      scored = end;
      if (flags.truncate) break;
    }
  }
  return text;
}

void ComputeFlags::add_to(CLI::App& command) {
  command
      .add_option("--compute", compute,
                  "Type to compute in: " + describe_choices(std::span<const Choice<Compute>>(kComputes)))
      ->capture_default_str();
}

ForwardOptions ComputeFlags::resolve(const std::string& device) const {
  return {parse_device(device), parse_choice(std::span<const Choice<Compute>>(kComputes), compute, "--compute")};
}

double parse_increase(const std::string& text, const std::string& option) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (error != std::errc() || (!rest.empty() && rest != "%") || !(value >= 0) || !std::isfinite(value)) {
    throw Error(ErrorKind::invalid_argument, option, "must be a fraction or a percentage, such as 0.1 or 10%", text);
  }
  return rest.empty() ? value : value / 100;
}

ordered_json to_json(const Evaluation& evaluation) {
  ordered_json out = {{"perplexity", evaluation.perplexity},
                      {"cross_entropy", evaluation.cross_entropy},
                      {"standard_error", evaluation.standard_error},
                      {"tokens", evaluation.tokens},
                      {"documents", evaluation.documents},
                      {"kv_bytes_per_token", evaluation.kv_bytes_per_token},
                      {"tokens_per_second", evaluation.tokens_per_second}};
  if (const auto& reference = evaluation.reference) {
    out["reference"] = {{"perplexity", reference->perplexity}, {"kl_mean", reference->kl_mean},
                        {"kl_p99", reference->kl_p99},         {"top1_agreement", reference->top1_agreement},
                        {"difference", reference->difference}, {"difference_error", reference->difference_error}};
  }
  return out;
}

std::string evaluation_summary(const Evaluation& evaluation, const EvaluationText& text) {
  std::string out = "Perplexity " + format_number("%.4g", evaluation.perplexity);
  if (evaluation.standard_error > 0)
    out += " +/- " + format_number("%.2g", evaluation.perplexity * evaluation.standard_error);
  out += " (cross-entropy " + cross_entropy_text(evaluation.cross_entropy, evaluation.standard_error) +
         " nats per token), " + std::to_string(evaluation.tokens) + " tokens of " +
         std::to_string(evaluation.documents) + " document(s), context " + std::to_string(text.context) + "\n";
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
