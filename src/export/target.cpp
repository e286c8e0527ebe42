#include "export/layout.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

constexpr std::string_view kOwnClass = "one group count for all layers, which the model's own class holds";

/// A layout that a runtime loads, and why one would take it.
struct Candidate {
  Layout layout;
  Format format;
  bool equal_groups_only;  ///< it could hold unequal groups too, but a later one does it cheaper
  std::string_view why;
};

struct TargetRow {
  TargetInfo info;
  std::vector<Candidate> candidates;  ///< the first that can express the plan is taken
};

const std::vector<TargetRow>& targets() {
  static const std::vector<TargetRow> kRows = {
      {{Target::transformers, "transformers", "Hugging Face transformers"},
       {{Layout::gqa, Format::safetensors, false, kOwnClass},
        {Layout::remote_code, Format::safetensors, false,
         "head counts per layer, which no class of transformers has: the folder carries a modeling file, loaded with "
         "trust_remote_code=True"}}},
      {{Target::vllm, "vllm", "vLLM"}, {{Layout::gqa, Format::safetensors, false, kOwnClass}}},
      {{Target::llama_cpp, "llama.cpp", "llama.cpp, as GGUF"},
       {{Layout::gqa, Format::gguf, true, "equal groups, one count for all layers, which llama.cpp holds as it is"},
        {Layout::deci, Format::gguf, false, "head counts per layer, which llama.cpp's architecture deci has"}}},
      {{Target::mlx, "mlx", "mlx-lm"}, {{Layout::gqa, Format::safetensors, false, kOwnClass}}},
  };
  return kRows;
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

LayoutChoice choose_layout(const Model& model, const Plan& plan, Target target) {
  for (const TargetRow& row : targets()) {
    if (row.info.target != target) continue;
    std::string reasons;
    for (const Candidate& candidate : row.candidates) {
      if (candidate.equal_groups_only && !plan.is_uniform()) continue;
      try {
        require_expressible(model, plan, candidate.layout, candidate.format);
        return {candidate.layout, candidate.format, std::string(candidate.why)};
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::unsupported) throw;
        reasons.append(reasons.empty() ? "" : "; ").append(error.what());
      }
    }
    throw Error(ErrorKind::unsupported, "--target " + std::string(row.info.name),
                "no layout of this runtime expresses the plan", reasons,
                "Search with --target " + std::string(row.info.name) +
                    ", or look at the plan's quality with --layout expanded.");
  }
  throw Error(ErrorKind::internal, "choose_layout", "every target has a row");
}

}  // namespace qcqa
