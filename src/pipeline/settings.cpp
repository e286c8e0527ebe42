#include "qcqa/pipeline/settings.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "qcqa/pipeline/distill.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

using nlohmann::ordered_json;

std::string_view scope_name(ReconstructScope scope) { return scope == ReconstructScope::block ? "block" : "attention"; }

std::string_view cardinality_of(const SearchOptions& options) {
  return options.arbitrary && options.equal ? "both"
         : options.arbitrary                ? "arbitrary"
         : options.equal                    ? "equal"
                                            : "contiguous";
}

void add(ordered_json& identity, const SearchOptions& options) {
  identity["--seed"] = options.layer.seed;
  identity["--strategy"] = strategy_name(options.strategy);
  identity["--cardinality"] = cardinality_of(options);
  identity["--warm-start"] = options.warm_start;
  identity["--uniform"] = options.limits.is_uniform();
  identity["--tensor-parallel"] = options.limits.tensor_parallel;
  identity["--keep-layers"] = options.keep_layers;
  identity["--min-groups"] = options.layer.min_groups;
  identity["--max-groups"] = options.layer.max_groups;
  identity["--population"] = options.layer.nsga2.population;
  identity["--generations"] = options.layer.nsga2.generations;
  identity["--model-population"] = options.model_nsga2.population;
  identity["--model-generations"] = options.model_nsga2.generations;
  identity["--crossover-probability"] = options.layer.nsga2.crossover_probability;
  identity["--mutation-probability"] = options.layer.nsga2.mutation_probability;
  identity["--stage2"] = options.stage2 == Stage2::front ? "front" : "binary";
  identity["--binary-groups"] = options.binary_groups;
}

void add(ordered_json& identity, const CalibrationSettings& calibration) {
  identity["--calibrate"] = calibration.sources;
  identity["--calibration-tokens"] = calibration.tokens;
  identity["--tokenizer"] = calibration.tokenizer == TokenizerKind::transformers ? "transformers" : "sentencepiece";
}

void add(ordered_json& identity, const ForwardOptions& forward) {
  identity["--device"] = forward.device.name();
  identity["--compute"] = forward.compute == Compute::f32 ? "f32" : "bf16";
}

void add(ordered_json& identity, const TextSettings& text) {
  if (!text.given()) return;
  identity["--text"] = text.text;
  identity["--token-ids"] = text.token_ids;
  identity["--field"] = text.corpus.field;
  identity["--context"] = text.corpus.windows.context;
  identity["--stride"] = text.corpus.windows.stride;
  identity["--truncate"] = text.corpus.windows.long_documents == LongDocuments::truncate;
  identity["--max-documents"] = text.corpus.max_documents;
  identity["--max-tokens"] = text.corpus.max_tokens;
  identity["--bos"] = text.corpus.bos == BosRule::always  ? "always"
                      : text.corpus.bos == BosRule::never ? "never"
                                                          : "auto";
}

void add(ordered_json& identity, const MergeSettings& merge) {
  identity["--merge"] = merge.kind ? merge_kind_name(*merge.kind) : "auto";
  if (!merge.kind) identity["--time-limit"] = merge.time_limit;
  identity["--reconstruct"] = scope_name(merge.reconstruct.scope);
  identity["--reconstruct-steps"] = merge.reconstruct.steps;
  identity["--distill-steps"] = merge.reconstruct.distill_steps;
  identity["--memory"] = merge.memory;
}

void add(ordered_json& identity, const PlanSettings& plan) {
  if (!plan.report.empty()) identity["--report"] = plan.report.string();
  if (plan.point) {
    identity["--point"] = *plan.point;
  } else if (plan.groups) {
    identity["--groups"] = *plan.groups;
    identity["--cardinality"] = cardinality_name(plan.cardinality);
  } else {
    identity["--kv"] = plan.kv;
  }
}

void add(ordered_json& identity, const OutputSettings& output) {
  identity["--layout"] = output.target ? "auto" : layout_name(output.options.layout);
  identity["--format"] = output.options.format == FileFormat::gguf ? "gguf" : "safetensors";
  identity["--target"] = output.target ? target_name(*output.target) : "none";
  identity["--dtype"] = output.options.dtype ? dtype_name(*output.options.dtype) : "keep";
  identity["--max-shard-size"] = output.options.writer.max_shard_bytes;
}

}  // namespace

bool CalibrationSettings::samples() const { return std::ranges::find(sources, kSelf) != sources.end(); }

MergeOptions MergeSettings::options(MergeKind chosen, std::uint64_t seed, const ForwardOptions& forward) const {
  return {.kind = chosen, .reconstruct = reconstruct, .seed = seed, .memory = memory, .forward = forward};
}

PlanLimits OutputSettings::plans(const Model& model) const {
  return target ? limits_for(model, *target) : plan_limits(options.layout);
}

void require_tokens(const CalibrationSettings& calibration) {
  if (calibration.tokens >= 2) return;
  throw Error(ErrorKind::invalid_argument, "--calibration-tokens", "must be at least 2",
              std::to_string(calibration.tokens));
}

void require_use_of(const CalibrationSettings& calibration, std::optional<MergeKind> merge, FitnessKind fitness) {
  require_tokens(calibration);
  static constexpr std::string_view kAdd = "Add --calibrate self, or --calibrate with a text.";
  if (merge && merge_method(*merge).text == TextUse::needed && !calibration.given()) {
    throw Error(ErrorKind::invalid_argument, "--merge " + std::string(merge_kind_name(*merge)), "needs --calibrate",
                "none", kAdd);
  }
  if (fitness == FitnessKind::measured && !calibration.given()) {
    throw Error(ErrorKind::invalid_argument, "--fitness measured", "needs --calibrate", "none", kAdd);
  }
  if (!calibration.given() || fitness != FitnessKind::wse || (merge && merge_method(*merge).text != TextUse::none))
    return;
  const std::string found = merge ? "--merge " + std::string(merge_kind_name(*merge)) + " and " : "";
  throw Error(
      ErrorKind::invalid_argument, "--calibrate",
      merge
          ? "is for --merge aligned, subspace, refit and reconstruct, and for --fitness aligned, subspace and measured"
          : "is for --fitness aligned, subspace and measured",
      found + "--fitness " + std::string(fitness_name(fitness)));
}

ordered_json identity_of(const SearchSettings& settings) {
  ordered_json identity = {{"--fitness", fitness_name(settings.fitness)},
                           {"--target", settings.target ? target_name(*settings.target) : "none"}};
  add(identity, settings.search);
  add(identity, settings.calibration);
  add(identity, settings.forward);
  return identity;
}

ordered_json identity_of(const ConversionSettings& settings) {
  ordered_json identity = ordered_json::object();
  add(identity, settings.search);
  add(identity, settings.plan);
  add(identity, settings.merge);
  identity["--fitness"] = settings.fitness ? fitness_name(*settings.fitness) : "auto";
  add(identity, settings.calibration);
  add(identity, settings.text);
  add(identity, settings.output);
  add(identity, settings.forward);
  return identity;
}

ordered_json identity_of(const DistillSettings& settings) {
  ordered_json identity = {{"--scope", scope_name(settings.scope)},
                           {"--distill-rate", settings.rate.value_or(0)},
                           {"--seed", settings.seed},
                           {"--memory", settings.memory}};
  if (settings.steps) {
    identity["--distill-steps"] = *settings.steps;
  } else {
    identity["--time-limit"] = settings.time_limit;
  }
  add(identity, settings.calibration);
  add(identity, settings.forward);
  return identity;
}

ordered_json options_json(const SearchOptions& options, const Device& device) {
  const auto nsga2 = [](const Nsga2Options& o) {
    return ordered_json{{"population", o.population},
                        {"generations", o.generations},
                        {"crossover_probability", o.crossover_probability},
                        {"mutation_probability", o.mutation_probability}};
  };
  return {{"seed", options.layer.seed},
          {"strategy", strategy_name(options.strategy)},
          {"warm_start", options.warm_start},
          {"uniform", options.limits.is_uniform()},
          {"divisors", options.limits.divisors},
          {"tensor_parallel", options.limits.tensor_parallel},
          {"keep_layers", options.keep_layers},
          {"cardinality", cardinality_of(options)},
          {"min_groups", options.layer.min_groups},
          {"max_groups", options.layer.max_groups},
          {"layer_nsga2", nsga2(options.layer.nsga2)},
          {"stage2", options.stage2 == Stage2::front ? "front" : "binary"},
          {"binary_groups", options.binary_groups},
          {"model_nsga2", nsga2(options.model_nsga2)},
          {"device", device.name()}};
}

}  // namespace qcqa
