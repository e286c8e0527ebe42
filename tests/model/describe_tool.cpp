// Prints what a config.json means here, for the interop tests and for looking by hand:
//
//   qcqa_describe FOLDER...     one line of JSON per folder; {"error": "..."} where the config.json is refused

#include <ATen/ATen.h>

#include <cstdio>
#include <iostream>

#include <nlohmann/json.hpp>

#include "forward/forward_spec.hpp"
#include "forward/layer.hpp"
#include "model/class_tensors.hpp"
#include "qcqa/support/error.hpp"

namespace {

using nlohmann::json;

/// Every tensor that must be there, with its shape.
json tensors_of(const qcqa::ModelConfig& config) {
  const qcqa::HeadDescription& head = config.architecture().head;
  json tensors = json::object();
  for (const qcqa::ClassTensor& tensor : qcqa::class_tensors(config)) {
    const bool is_embedding = config.value(head.tied) && tensor.name == head.tensor + ".weight";
    if (tensor.use != qcqa::ClassTensor::Use::left_out && !is_embedding) tensors[tensor.name] = tensor.shape;
  }
  return tensors;
}

/// The MLP's activation at some points, found by running an MLP of ones.
json activation_of(const qcqa::ForwardSpec& spec) {
  qcqa::LayerWeights weights;
  weights.mlp.gate_up.weight = weights.mlp.down.weight = at::ones({1, 1});
  const at::Tensor points = at::tensor({-12.0F, -3.0F, -1.0F, -0.25F, 0.0F, 0.5F, 2.0F, 11.0F}).view({-1, 1});
  const at::Tensor values = weights.mlp.down(qcqa::mlp_features(weights.mlp, spec, points)).contiguous();
  return std::vector<float>(values.data_ptr<float>(), values.data_ptr<float>() + values.numel());
}

/// Facts of the layers' attention; of the first layer, where all have the same.
void describe_attention(const qcqa::ModelConfig& config, json& result) {
  const std::vector<qcqa::AttentionFacts> facts = qcqa::attention_facts(config);
  json windows = json::array();
  for (const qcqa::AttentionFacts& layer : facts) windows.push_back(layer.window);
  const bool rotates = config.architecture().attention.rotary.has_value();
  const qcqa::RotarySpec rotary = rotates ? qcqa::read_rotary_spec(config, facts.front().rotary) : qcqa::RotarySpec{};
  result.update({{"frequencies", rotary.frequencies},
                 {"magnitude", rotary.magnitude},
                 {"scale", facts.front().scale},
                 {"attention_softcap", facts.front().softcap},
                 {"windows", std::move(windows)}});
}

json describe(const char* folder) {
  const qcqa::ModelConfig config = qcqa::ModelConfig::read(folder);
  json result = {{"family", config.architecture().family},
                 {"kv_heads", config.shape().kv_heads},
                 {"head_dim", config.shape().head_dim},
                 {"positions", config.shape().max_positions},
                 {"tensors", tensors_of(config)}};
  describe_attention(config, result);
  if (!config.architecture().forward) return result;
  const qcqa::ForwardSpec spec = qcqa::read_forward_spec(config);
  result.update({{"epsilon", spec.norm_epsilon},
                 {"embedding_multiplier", spec.embedding_multiplier},
                 {"residual_multiplier", spec.residual_multiplier},
                 {"parallel", spec.parallel},
                 {"logit_softcap", spec.logit_softcap},
                 {"logit_divisor", spec.logit_divisor},
                 {"activation", activation_of(spec)}});
  return result;
}

}  // namespace

int main(int count, char** arguments) {
  for (int i = 1; i < count; ++i) {
    try {
      std::cout << describe(arguments[i]).dump() << '\n';
    } catch (const qcqa::Error& error) {
      std::cout << json{{"error", error.what()}}.dump() << '\n';
    }
  }
  return count > 1 ? 0 : 2;
}
