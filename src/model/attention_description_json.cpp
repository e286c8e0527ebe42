#include "model/descriptions.hpp"

namespace qcqa {
namespace {

WindowDescription parse_window(ObjectReader reader) {
  WindowDescription window;
  reader.setting("size", window.size);
  reader.setting("enabled", window.enabled);
  reader.value("reads_layer_types", window.reads_layer_types);
  window.pattern = reader.optional_text("pattern");
  window.list = reader.optional_text("list");
  (void)reader.required("layers");
  reader.choice("layers", window.layers,
                {{"all", WindowLayers::all},
                 {"even", WindowLayers::even},
                 {"odd", WindowLayers::odd},
                 {"from_layer", WindowLayers::from_layer},
                 {"all_but_every", WindowLayers::all_but_every},
                 {"all_but_first_of_every", WindowLayers::all_but_first_of_every},
                 {"not_rotated", WindowLayers::not_rotated}});
  if (window.layers == WindowLayers::from_layer) reader.required_setting("first_layer", window.first_layer);
  if (window.layers == WindowLayers::all_but_every || window.layers == WindowLayers::all_but_first_of_every)
    reader.required_setting("period", window.period);
  reader.finish();
  return window;
}

RotaryDescription parse_rotary(ObjectReader reader) {
  RotaryDescription rotary;
  reader.required_setting("theta", rotary.theta);
  reader.setting("share", rotary.share);
  reader.setting("dims", rotary.dims);
  reader.setting("original_positions", rotary.original_positions);
  rotary.aliases = reader.text_map("scaling_aliases");
  reader.value("neighbours", rotary.neighbours);
  reader.value("must_be_scaled", rotary.must_be_scaled);
  reader.value("states_magnitudes", rotary.states_magnitudes);
  reader.value("scales_queries", rotary.scales_queries);
  reader.choice("layers", rotary.layers,
                {{"all", RotatedLayers::all},
                 {"windowed", RotatedLayers::windowed},
                 {"windowed_if_any", RotatedLayers::windowed_if_any},
                 {"without_alibi", RotatedLayers::without_alibi},
                 {"listed", RotatedLayers::listed}});
  if (rotary.layers == RotatedLayers::listed) {
    rotary.list = reader.text("list");
    reader.required_setting("period", rotary.period);
  }
  if (reader.optional("windowed_theta")) reader.setting("windowed_theta", rotary.windowed_theta.emplace());
  reader.finish();
  return rotary;
}

HeadLayers parse_head_layers(ObjectReader reader) {
  HeadLayers layers;
  layers.types = reader.texts("types");
  layers.others = reader.texts("others");
  reader.setting("every", layers.every);
  layers.list = reader.optional_text("list");
  reader.finish();
  return layers;
}

AlibiDescription parse_alibi(ObjectReader reader) {
  AlibiDescription alibi;
  reader.required_setting("exponent", alibi.exponent);
  reader.setting("enabled", alibi.enabled);
  reader.value("rounded", alibi.rounded);
  reader.finish();
  return alibi;
}

HeadNormDescription parse_head_norm(ObjectReader reader) {
  HeadNormDescription norm{.query = reader.text("query"), .key = reader.text("key")};
  reader.setting("enabled", norm.enabled);
  reader.choice(
      "scope", norm.scope,
      {{"head", HeadNormScope::head}, {"own", HeadNormScope::own}, {"projection", HeadNormScope::projection}});
  reader.value("after_rotary", norm.after_rotary);
  reader.value("ignores_head_dim", norm.ignores_head_dim);
  if (norm.after_rotary && norm.scope != HeadNormScope::head)
    reader.fail("\"after_rotary\" is for the scope \"head\"", "another");
  reader.finish();
  return norm;
}

}  // namespace

NormDescription parse_norm(ObjectReader reader) {
  NormDescription norm;
  (void)reader.required("kind");
  reader.choice("kind", norm.kind, {{"rms", NormKind::rms}, {"layer", NormKind::layer}});
  reader.required_setting("epsilon", norm.epsilon);
  reader.value("offset", norm.offset);
  norm.bias = norm.kind == NormKind::layer;
  reader.value("bias", norm.bias);
  reader.value("weights", norm.weights);
  norm.bias = norm.bias && norm.weights;
  reader.finish();
  return norm;
}

AttentionDescription parse_attention(ObjectReader& reader) {
  AttentionDescription attention;
  if (reader.optional("in_layers")) attention.in_layers = parse_head_layers(reader.child("in_layers"));
  if (const auto norm = reader.required_or_null("input_norm")) attention.input_norm = norm->text();
  if (const auto rotary = reader.required_or_null("rotary")) attention.rotary = parse_rotary(ObjectReader(*rotary));
  if (reader.optional("head_norm")) attention.head_norm = parse_head_norm(reader.child("head_norm"));
  reader.setting("scale", attention.scale);
  reader.setting("scale_is_inverse_root_of", attention.scale_root);
  reader.setting("softcap", attention.softcap);
  reader.setting("clip", attention.clip);
  if (reader.optional("alibi")) attention.alibi = parse_alibi(reader.child("alibi"));
  attention.sinks = reader.optional_text("sinks");
  const HeadNormDescription& norm = attention.head_norm;
  if (!attention.clip.key.empty() && !norm.query.empty() && norm.scope != HeadNormScope::projection)
    reader.fail("\"clip\" is for queries and keys without norms or with norms of the scope \"projection\"", "another");
  if (reader.optional("window")) attention.window = parse_window(reader.child("window"));
  const Setting<double>& window = attention.window.size;
  if (attention.alibi && attention.alibi->rounded && (window.fallback > 0 || !window.key.empty()))
    reader.fail("\"rounded\" slopes are for layers that see everything, from the first position", "a window");
  const bool listed = attention.rotary && attention.rotary->layers == RotatedLayers::listed;
  if (attention.window.layers == WindowLayers::not_rotated && !listed)
    reader.fail("windows of layers that are \"not_rotated\" need a rotary embedding that is \"listed\"", "another");
  return attention;
}

}  // namespace qcqa
