#include <algorithm>
#include <optional>

#include "export/layout.hpp"
#include "export/llama_parts.hpp"
#include "export/stock_class.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// A layout that a runtime loads, and why one would take it.
struct Candidate {
  Layout layout;
  FileFormat format;
  std::string_view why;
  PlanLimits limits{};  ///< more than the layout itself asks
  /// More that the runtime asks of the plan; an empty text: nothing stands in the way.
  std::string (*obstacle)(const Model&, const Plan&) = [](const Model&, const Plan&) { return std::string(); };
};

struct TargetRow {
  TargetInfo info;
  std::vector<Candidate> candidates;  ///< the first that can express the plan is taken
};

std::string unequal_groups(const Model&, const Plan& plan) {
  return plan.is_uniform() ? ""
                           : "groups of unequal size, which another layout of this runtime holds with less padding";
}

/// transformers' class may have fewer heads and cache as many as before.
std::string saves_nothing(const Model& model, const Plan& plan) {
  return plan.is_identity() || model.architecture().gqa_note.empty() ? std::string()
                                                                     : "--layout gqa: " + model.architecture().gqa_note;
}

/// mlx-lm's class computes the size of a head from the number of query heads.
std::string padded_heads(const Model& model, const Plan& plan) {
  for (const LayerHeads& heads : layout_row(Layout::nemotron_nas).safetensors->build(model, plan, {}).heads) {
    if (heads.query_heads() * heads.layer->head_dim != heads.layer->hidden_size) {
      return "--layout nemotron-nas: mlx-lm needs equal groups and heads that fill the hidden size; found padding";
    }
  }
  return "";
}

/// Of --layout remote-code.
bool takes_unequal_groups(const Model& model) { return reads_head_dim(model) && !norms_span_heads(model); }

std::string any_padding(const Model& model, const Plan& plan) {
  for (const LayerHeads& heads : layout_row(Layout::nemotron_nas).safetensors->build(model, plan, {}).heads) {
    if (heads.query_heads() != heads.layer->query_heads)
      return "query heads to pad, which another layout of this runtime pads less";
  }
  return "";
}

const std::vector<TargetRow>& targets() {
  static constexpr std::string_view kOwnClass =
      "one group count for all layers, which a class of the runtime holds as it is";
  static constexpr std::string_view kNemotron =
      "head counts per layer, which vLLM's class for Nemotron-NAS models has; serve with --trust-remote-code";
  static constexpr FileFormat kFolder = FileFormat::safetensors;
  static const std::vector<TargetRow> kRows = {
      {{Target::transformers, "transformers", "Hugging Face transformers"},
       {{Layout::gqa, kFolder, kOwnClass, {}, saves_nothing},
        {Layout::remote_code, kFolder,
         "head counts per layer, which no class of transformers has: the folder carries a modeling file, loaded with "
         "trust_remote_code=True"},
        {Layout::shared_cache, kFolder,
         "fewer heads in the cache, not in the weights, since no other layout holds this plan of the family: the "
         "folder "
         "carries a modeling file, loaded with trust_remote_code=True"}}},
      {{Target::vllm, "vllm", "vLLM"},
       {{Layout::gqa, kFolder, kOwnClass},
        {Layout::nemotron_nas, kFolder, kNemotron, {}, any_padding},
        {Layout::remote_code, kFolder,
         "head counts per layer, which vLLM reads from the modeling file that the folder carries; serve with "
         "--trust-remote-code"},
        {Layout::nemotron_nas, kFolder, kNemotron}}},
      {{Target::llama_cpp, "llama.cpp", "llama.cpp, as GGUF"},
       {{Layout::gqa,
         FileFormat::gguf,
         "equal groups, one count for all layers, which llama.cpp holds as it is",
         {},
         unequal_groups},
        {Layout::deci, FileFormat::gguf, "head counts per layer, which llama.cpp's architecture deci has"},
        {Layout::gqa, FileFormat::gguf, "one group count for all layers, padded"}}},
      {{Target::mlx, "mlx", "mlx-lm"},
       {{Layout::gqa, kFolder, kOwnClass, {}, unequal_groups},
        {Layout::openelm, kFolder, "head counts per layer, which mlx-lm's class for OpenELM has"},
        {Layout::nemotron_nas,
         kFolder,
         "head counts per layer, which mlx-lm's class for Nemotron-NAS models has",
         {.equal_groups = true},
         padded_heads},
        {Layout::gqa, kFolder, kOwnClass}}},
  };
  return kRows;
}

const TargetRow& row_of(Target target) {
  return *std::ranges::find(targets(), target, [](const TargetRow& row) { return row.info.target; });
}

}  // namespace

std::span<const TargetInfo> target_infos() {
  static const std::vector<TargetInfo> kInfos = [] {
    std::vector<TargetInfo> infos;
    for (const TargetRow& row : targets()) infos.push_back(row.info);
    return infos;
  }();
  return kInfos;
}

std::string_view target_name(Target target) { return row_of(target).info.name; }

LayoutChoice choose_layout(const Model& model, const Plan& plan, Target target) {
  const TargetRow& row = row_of(target);
  std::string reasons;
  const auto note = [&](const std::string& reason) {
    if (reasons.find(reason) == std::string::npos) reasons.append(reasons.empty() ? "" : "; ").append(reason);
  };
  for (const Candidate& candidate : row.candidates) {
    try {
      require_expressible(model, plan, candidate.layout, candidate.format);
      const std::string obstacle = candidate.obstacle(model, plan);
      if (obstacle.empty()) return {candidate.layout, candidate.format, std::string(candidate.why)};
      note(obstacle);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::unsupported) throw;
      note(error.what());
    }
  }
  const std::string name(row.info.name);
  throw Error(ErrorKind::unsupported, "--target " + name, "no layout of this runtime expresses the plan", reasons,
              "Use plans of one group count (--uniform, --groups), search with --target " + name +
                  ", or look at the plan's quality with --layout expanded.");
}

std::vector<TargetLayout> target_layouts(const Model& model) {
  std::vector<TargetLayout> layouts;
  for (const TargetRow& row : targets()) {
    for (const Candidate& candidate : row.candidates) {
      const bool is_there = std::ranges::any_of(layouts, [&](const TargetLayout& there) {
        return there.target == row.info.target && there.layout == candidate.layout;
      });
      if (is_there) continue;
      TargetLayout entry{row.info.target, candidate.layout, candidate.format};
      const bool has_windows = candidate.format != FileFormat::gguf &&
                               (candidate.layout == Layout::gqa || candidate.layout == Layout::remote_code ||
                                candidate.layout == Layout::shared_cache);
      if (!has_windows) entry.same_up_to = shortest_window(model);
      try {
        require_layout(model, candidate.layout, candidate.format);
        require_tokenizer(model, candidate.format);
      } catch (const Error& error) {
        // A tokenizer that is broken stands in the way of a file that must hold it, not of the rest.
        if (error.kind() == ErrorKind::internal || error.kind() == ErrorKind::io) throw;
        entry.why_not = error.what();
      }
      layouts.push_back(std::move(entry));
    }
  }
  return layouts;
}

PlanLimits limits_for(const Model& model, Target target) {
  // Of the layouts for head counts per layer, the one that asks least.
  const auto asked = [](const PlanLimits& limits) { return int{limits.equal_groups} + int{limits.divisors}; };
  std::optional<PlanLimits> least;
  for (const Candidate& candidate : row_of(target).candidates) {
    PlanLimits limits = plan_limits(candidate.layout);
    if (limits.is_uniform()) continue;
    try {
      require_layout(model, candidate.layout, candidate.format);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::unsupported) throw;
      continue;
    }
    if (candidate.layout == Layout::shared_cache) return least.value_or(limits);  // what saves weights too comes first
    limits.contiguous = query_heads_stay(model);
    limits.equal_groups = limits.equal_groups || candidate.limits.equal_groups || limits.contiguous ||
                          (candidate.layout == Layout::remote_code && !takes_unequal_groups(model));
    if (!least || asked(limits) < asked(*least)) least = limits;
  }
  if (least) return *least;
  // Without one, one group count for all layers is what is left.
  PlanLimits limits = PlanLimits::uniform();
  limits.contiguous = query_heads_stay(model);
  return limits;
}

}  // namespace qcqa
