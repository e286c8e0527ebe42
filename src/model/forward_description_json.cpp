#include "model/descriptions.hpp"

namespace qcqa {
namespace {

void parse_embedding(ObjectReader reader, ForwardDescription& description) {
  reader.setting("multiplier", description.embedding_multiplier);
  reader.value("times_root_of_hidden_size", description.embedding_times_root);
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
  reader.required_setting("activation", description.activation);
  description.activation_aliases = reader.text_map("activation_aliases");
  reader.finish();
}

void parse_logits(ObjectReader reader, ForwardDescription& description) {
  reader.setting("divisor", description.logit_divisor);
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
  description.final_norm = reader.text("final_norm");
  if (reader.optional("logits")) parse_logits(reader.child("logits"), description);
  reader.finish();
  return description;
}

}  // namespace qcqa
