#include "model/object_reader.hpp"

namespace qcqa {
namespace {

using nlohmann::json;

void parse_embedding(ObjectReader reader, ForwardDescription& description) {
  reader.setting("multiplier", description.embedding_multiplier);
  reader.flag("times_root_of_hidden_size", description.embedding_times_root);
  reader.finish();
}

void parse_norm(ObjectReader reader, ForwardDescription& description) {
  const std::string kind = reader.text("kind");
  if (kind != "rms" && kind != "layer") reader.fail("\"kind\" is \"rms\" or \"layer\"", kind);
  description.norm_kind = kind == "rms" ? NormKind::rms : NormKind::layer;
  (void)reader.required("epsilon");
  reader.setting("epsilon", description.norm_epsilon);
  if (const json* offset = reader.optional("offset")) description.norm_offset = offset->get<double>();
  reader.finish();
}

void parse_layer(ObjectReader reader, ForwardDescription& description) {
  description.layer_prefix = reader.text("prefix");
  if (description.layer_prefix.find("{layer}") == std::string::npos) {
    reader.fail("\"prefix\" must contain {layer}", description.layer_prefix);
  }
  description.attention_norm = reader.text("attention_norm");
  description.mlp_norm = reader.optional_text("mlp_norm");
  description.attention_post_norm = reader.optional_text("attention_post_norm");
  description.mlp_post_norm = reader.optional_text("mlp_post_norm");
  reader.setting("parallel", description.parallel);
  reader.flag("one_norm_when_parallel", description.one_norm_when_parallel);
  reader.setting("residual_multiplier", description.residual_multiplier);
  reader.finish();
}

void parse_window(ObjectReader reader, WindowDescription& window) {
  reader.setting("size", window.size);
  reader.setting("enabled", window.enabled);
  reader.flag("reads_layer_types", window.reads_layer_types);
  const std::string layers = reader.text("layers");
  if (layers == "even") {
    window.layers = WindowLayers::even;
  } else if (layers == "from_layer") {
    window.layers = WindowLayers::from_layer;
    (void)reader.required("first_layer");
    reader.setting("first_layer", window.first_layer);
  } else if (layers != "all") {
    reader.fail("\"layers\" is \"all\", \"even\" or \"from_layer\"", layers);
  }
  reader.finish();
}

void parse_attention(ObjectReader reader, ForwardDescription& description) {
  reader.setting("scale", description.attention_scale);
  reader.setting("scale_is_inverse_root_of", description.attention_scale_root);
  reader.setting("softcap", description.attention_softcap);
  if (reader.optional("window")) parse_window(reader.child("window"), description.window);
  if (reader.optional("head_norm")) {
    ObjectReader norm = reader.child("head_norm");
    description.head_norm.query = norm.text("query");
    description.head_norm.key = norm.text("key");
    norm.setting("enabled", description.head_norm.enabled);
    norm.flag("ignores_head_dim", description.head_norm.ignores_head_dim);
    norm.finish();
  }
  reader.finish();
}

void parse_mlp(ObjectReader reader, ForwardDescription& description) {
  if (reader.optional("gate_and_up")) {
    description.mlp_gate = description.mlp_up = reader.text("gate_and_up");
  } else {
    description.mlp_gate = reader.optional_text("gate");
    description.mlp_up = reader.text("up");
  }
  description.mlp_down = reader.text("down");
  reader.setting("bias", description.mlp_bias);
  (void)reader.required("activation");
  reader.setting("activation", description.activation);
  if (const json* aliases = reader.optional("activation_aliases")) {
    description.activation_aliases = aliases->get<std::map<std::string, std::string>>();
  }
  reader.finish();
}

void parse_logits(ObjectReader reader, ForwardDescription& description) {
  reader.setting("divisor", description.logit_divisor);
  reader.setting("softcap", description.logit_softcap);
  reader.finish();
}

}  // namespace

ForwardDescription parse_forward_description(ObjectReader reader) {
  ForwardDescription description;
  if (reader.optional("embedding")) parse_embedding(reader.child("embedding"), description);
  parse_norm(reader.child("norm"), description);
  parse_layer(reader.child("layer"), description);
  ObjectReader rotary = reader.child("rotary");
  (void)rotary.required("theta");
  rotary.setting("theta", description.rotary_theta);
  rotary.setting("share", description.rotary_share);
  rotary.setting("original_positions", description.rotary_original_positions);
  if (const json* aliases = rotary.optional("scaling_aliases")) {
    description.rotary_aliases = aliases->get<std::map<std::string, std::string>>();
  }
  rotary.finish();
  if (reader.optional("attention")) parse_attention(reader.child("attention"), description);
  parse_mlp(reader.child("mlp"), description);
  description.final_norm = reader.text("final_norm");
  if (reader.optional("logits")) parse_logits(reader.child("logits"), description);
  reader.finish();
  return description;
}

}  // namespace qcqa
