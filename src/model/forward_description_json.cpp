#include "model/descriptions.hpp"

namespace qcqa {
namespace {

void parse_embedding(ObjectReader reader, ForwardDescription& description) {
  reader.setting("multiplier", description.embedding_multiplier);
  reader.value("times_root_of_hidden_size", description.embedding_times_root);
  description.embedding_norm = reader.optional_text("norm");
  if (reader.optional("positions")) {
    ObjectReader positions = reader.child("positions");
    description.positions.tensor = positions.text("tensor");
    positions.value("offset", description.positions.offset);
    positions.finish();
  }
  reader.finish();
}

void parse_layer(ObjectReader reader, ForwardDescription& description) {
  description.mlp_norm = reader.optional_text("mlp_norm");
  description.attention_post_norm = reader.optional_text("attention_post_norm");
  description.mlp_post_norm = reader.optional_text("mlp_post_norm");
  reader.setting("parallel", description.parallel);
  reader.value("one_norm_when_parallel", description.one_norm_when_parallel);
  reader.setting("residual_multiplier", description.residual_multiplier);
  reader.value("residual_over_root_of_layers", description.residual_over_root_of_layers);
  reader.finish();
}

MlpNames parse_mlp_names(ObjectReader& reader) {
  MlpNames names;
  if (reader.optional("gate_and_up")) {
    names.gate = names.up = reader.text("gate_and_up");
  } else {
    names.gate = reader.optional_text("gate");
    names.up = reader.text("up");
  }
  names.down = reader.text("down");
  return names;
}

ExpertsDescription parse_experts(ObjectReader reader) {
  ExpertsDescription experts;
  experts.router = reader.text("router");
  reader.value("router_bias", experts.router_bias);
  experts.names = parse_mlp_names(reader);
  if (reader.optional("stacked")) {
    ObjectReader stacked = reader.child("stacked");
    experts.stacked = parse_mlp_names(stacked);
    stacked.finish();
    if (experts.are_stacked()) reader.fail("what is \"stacked\" has matrices of each expert's own as well", "none");
  }
  reader.required_setting("count", experts.count);
  reader.required_setting("per_token", experts.per_token);
  reader.required_setting("width", experts.width);
  reader.value("are_parameters", experts.are_parameters);
  reader.value("may_be_mxfp4", experts.may_be_mxfp4);
  reader.value("biases", experts.has_biases);
  reader.value("take_turns", experts.take_turns);
  if (experts.are_parameters && !experts.are_stacked())
    reader.fail("experts that \"are_parameters\" are stacked", "one tensor for each");
  if ((experts.may_be_mxfp4 || experts.has_biases) && !experts.are_parameters)
    reader.fail("\"may_be_mxfp4\" and \"biases\" are for experts that \"are_parameters\"", "others");
  reader.choice("scores", experts.scores,
                {{"softmax", RouterScores::softmax},
                 {"sigmoid", RouterScores::sigmoid},
                 {"softmax_of_chosen", RouterScores::softmax_of_chosen},
                 {"sparse_mixer", RouterScores::sparse_mixer}});
  if (experts.scores == RouterScores::sparse_mixer) reader.required_setting("mixer_tolerance", experts.mixer_tolerance);
  experts.choice_bias = reader.optional_text("choice_bias");
  reader.value("choice_bias_is_row", experts.choice_bias_is_row);
  reader.setting("normalised", experts.normalised);
  reader.setting("least_sum", experts.least_sum);
  reader.setting("multiplier", experts.multiplier);
  reader.setting("groups", experts.groups);
  reader.setting("groups_per_token", experts.groups_per_token);
  if (reader.optional("shared")) {
    ObjectReader shared = reader.child("shared");
    experts.shared = parse_mlp_names(shared);
    shared.required_setting("width", experts.shared_width);
    shared.setting("count", experts.shared_count);
    experts.shared_switch = shared.optional_text("switch");
    shared.finish();
  }
  if (reader.optional("layers")) {
    ObjectReader layers = reader.child("layers");
    layers.setting("first", experts.first_layer);
    layers.setting("last", experts.last_layer);
    layers.setting("every", experts.every);
    experts.plain_layers = layers.optional_text("plain");
    layers.finish();
  }
  reader.finish();
  return experts;
}

MixerDescription parse_mixer(ObjectReader reader) {
  MixerDescription mixer;
  reader.choice("kind", mixer.kind,
                {{"short_convolution", MixerKind::short_convolution}, {"gated_delta", MixerKind::gated_delta}});
  mixer.input = reader.text("input");
  mixer.convolution = reader.text("convolution");
  mixer.output = reader.text("output");
  reader.required_setting("taps", mixer.taps);
  reader.setting("bias", mixer.bias);
  if (mixer.kind == MixerKind::gated_delta) {
    reader.required_setting("key_heads", mixer.key_heads);
    reader.required_setting("value_heads", mixer.value_heads);
    reader.required_setting("key_dim", mixer.key_dim);
    reader.required_setting("value_dim", mixer.value_dim);
    mixer.gate = reader.optional_text("gate");
    mixer.update = reader.text("update");
    mixer.decay = reader.text("decay");
    mixer.decay_log = reader.text("decay_log");
    mixer.decay_bias = reader.text("decay_bias");
    mixer.norm = reader.text("norm");
  }
  reader.finish();
  return mixer;
}

void parse_mlp(ObjectReader reader, ForwardDescription& description) {
  if (reader.optional("experts")) description.experts = parse_experts(reader.child("experts"));
  if (!description.experts || reader.optional("down")) description.mlp = parse_mlp_names(reader);
  reader.setting("bias", description.mlp_bias);
  if (reader.optional("bounded_gate")) {
    ObjectReader gate = reader.child("bounded_gate");
    description.bounded_gate.emplace();
    gate.required_setting("slope", description.bounded_gate->slope);
    gate.required_setting("limit", description.bounded_gate->limit);
    gate.finish();
    description.activation.fallback = "silu";  // stands there, and is not looked at
  } else {
    reader.required_setting("activation", description.activation);
  }
  description.activation_weights = reader.optional_text("activation_weights");
  description.activation_aliases = reader.text_map("activation_aliases");
  reader.finish();
}

void parse_logits(ObjectReader reader, ForwardDescription& description) {
  reader.setting("divisor", description.logit_divisor);
  reader.setting("base_width", description.logit_base_width);
  reader.setting("multiplier", description.logit_multiplier);
  reader.setting("softcap", description.logit_softcap);
  reader.finish();
}

}  // namespace

ForwardDescription parse_forward(ObjectReader reader) {
  ForwardDescription description;
  if (reader.optional("embedding")) parse_embedding(reader.child("embedding"), description);
  parse_layer(reader.child("layer"), description);
  parse_mlp(reader.child("mlp"), description);
  if (reader.optional("mixer")) description.mixer = parse_mixer(reader.child("mixer"));
  description.final_norm = reader.text("final_norm");
  if (reader.optional("logits")) parse_logits(reader.child("logits"), description);
  reader.finish();
  return description;
}

}  // namespace qcqa
