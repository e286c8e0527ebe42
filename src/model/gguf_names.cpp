#include "model/gguf_names.hpp"

#include <algorithm>

namespace qcqa {
namespace {

std::string_view gguf_name(HeadRole role) {
  switch (role) {
    case HeadRole::query:
      return "attn_q";
    case HeadRole::key:
      return "attn_k";
    case HeadRole::value:
    case HeadRole::gate:
      break;
  }
  return "attn_v";
}

bool is_read(const Architecture& architecture) { return architecture.gguf && !has_fused_gguf(architecture); }

}  // namespace

GgufNames gguf_names(const Architecture& architecture) {
  const ForwardDescription& forward = *architecture.forward;
  const HeadNormDescription& head_norm = architecture.attention.head_norm;
  const std::string attention = architecture.attention_prefix.substr(architecture.layer_prefix.size());
  GgufNames names;
  names.model = {{"token_embd", architecture.embedding},
                 {"output_norm", forward.final_norm},
                 {"output", architecture.head.tensor}};
  names.layer = {{"attn_norm", architecture.attention.input_norm},
                 {"attn_output", attention + architecture.output},
                 {"ffn_norm", forward.mlp_norm},
                 {"ffn_gate", forward.mlp.gate},
                 {"ffn_up", forward.mlp.up},
                 {"ffn_down", forward.mlp.down}};
  for (const Projection& projection : architecture.projections)
    names.layer.push_back({std::string(gguf_name(projection.holds.front())), attention + projection.tensor});
  if (!head_norm.query.empty()) {
    names.layer.push_back({"attn_q_norm", attention + head_norm.query});
    names.layer.push_back({"attn_k_norm", attention + head_norm.key});
  }
  return names;
}

const Architecture* find_gguf_family(std::string_view gguf_architecture) {
  for (const Architecture& architecture : supported_architectures()) {
    if (is_read(architecture) && architecture.gguf->architecture == gguf_architecture) return &architecture;
  }
  return nullptr;
}

std::string gguf_families_in_words() {
  std::vector<std::string> names;
  for (const Architecture& architecture : supported_architectures()) {
    if (is_read(architecture)) names.push_back(architecture.gguf->architecture);
  }
  std::ranges::sort(names);
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i)
    text += (i == 0 ? "" : i + 1 < names.size() ? ", " : " or ") + names[i];
  return text;
}

}  // namespace qcqa
