#include "support/made_up_family.hpp"

namespace qcqa::testing {

nlohmann::json made_up_description(const std::function<void(nlohmann::json&)>& change) {
  nlohmann::json description = nlohmann::json::parse(R"({
    "family": "made_up", "model_types": ["made_up"], "model_class": "MadeUpForCausalLM", "base_prefix": "base.",
    "config": {
      "layers": {"key": "layers", "default": 2},
      "hidden_size": {"key": "width", "default": 12},
      "query_heads": {"key": "heads", "default": 4},
      "kv_heads": {"key": "kv_heads", "default": 4},
      "head_dim": {"key": "head_dim", "default": 0},
      "vocabulary": {"key": "words", "default": 5},
      "mlp_width": {"key": "inner", "default": 8},
      "positions": {"key": "positions", "default": 32}
    },
    "embedding": "base.words", "output_head": {"tensor": "head", "tied": false},
    "layer_prefix": "base.blocks.{layer}.", "norm": {"kind": "rms", "epsilon": 1e-6},
    "attention": {
      "prefix": "attn.", "input_norm": "norm_1",
      "projections": [{"tensor": "q", "holds": ["query"]}, {"tensor": "k", "holds": ["key"]},
                      {"tensor": "v", "holds": ["value"]}],
      "output": {"tensor": "o"},
      "rotary": {"theta": {"key": "rope_theta", "default": 100.0}}
    },
    "forward": {
      "layer": {"mlp_norm": "norm_2"},
      "mlp": {"gate": "mlp.gate", "up": "mlp.up", "down": "mlp.down", "activation": "silu"},
      "final_norm": "base.norm"
    }})");
  change(description);
  return description;
}

Families with_made_up(const std::function<void(nlohmann::json&)>& change) {
  return Families::built_in().with(made_up_description(change).dump(), "made_up.json");
}

const Families& with_family_not_run() {
  static const Families families = with_made_up([](nlohmann::json& family) {
    family.erase("forward");
    family["no_forward"] = "an MLP of an unknown kind";
  });
  return families;
}

}  // namespace qcqa::testing
