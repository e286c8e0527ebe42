#include <algorithm>
#include <array>
#include <string>

#include "model/descriptions.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

using nlohmann::json;

Projection parse_projection(ObjectReader reader) {
  Projection projection;
  projection.tensor = reader.text("tensor");
  for (const std::string& role : reader.texts("holds")) {
    if (role == "query") {
      projection.holds.push_back(HeadRole::query);
    } else if (role == "key") {
      projection.holds.push_back(HeadRole::key);
    } else if (role == "value") {
      projection.holds.push_back(HeadRole::value);
    } else if (role == "gate") {
      projection.holds.push_back(HeadRole::gate);
    } else {
      reader.fail("a role is \"query\", \"key\", \"value\" or \"gate\"", role);
    }
  }
  reader.choice("order", projection.order,
                {{"by_role", HeadOrder::by_role},
                 {"by_head", HeadOrder::by_head},
                 {"by_part", HeadOrder::by_part},
                 {"by_query", HeadOrder::by_query}});
  if (projection.order == HeadOrder::by_part) {
    (void)reader.required("parts");
    reader.value("parts", projection.parts);
    if (projection.parts < 1) reader.fail("\"parts\" must be positive", std::to_string(projection.parts));
  }
  reader.setting("bias", projection.bias);
  reader.finish();
  return projection;
}

void parse_head(ObjectReader reader, HeadDescription& head) {
  head.tensor = reader.text("tensor");
  if (reader.optional("aliases")) head.aliases = reader.texts("aliases");
  reader.setting("bias", head.bias);
  reader.required_setting("tied", head.tied);
  reader.value("unit_rows", head.unit_rows);
  reader.finish();
}

void parse_sizes(ObjectReader reader, Architecture& architecture) {
  reader.required_setting("layers", architecture.layers);
  reader.required_setting("hidden_size", architecture.hidden_size);
  reader.required_setting("query_heads", architecture.query_heads);
  for (const auto& [key, setting] :
       {std::pair{"kv_heads", &architecture.kv_heads}, {"head_dim", &architecture.head_dim}}) {
    if (reader.required_or_null(key)) reader.setting(key, *setting);  // null: the class reads no such key
  }
  reader.setting("one_kv_head", architecture.one_kv_head);
  reader.required_setting("vocabulary", architecture.vocabulary);
  reader.required_setting("mlp_width", architecture.mlp_width);
  if (reader.optional("mlp_width_without_gate")) {
    ObjectReader without = reader.child("mlp_width_without_gate");
    WidthWithoutGate& width = architecture.mlp_width_without_gate.emplace();
    without.required_setting("enabled", width.enabled);
    without.required_setting("multiplier", width.multiplier);
    without.required_setting("multiple_of", width.multiple_of);
    without.finish();
  }
  reader.required_setting("positions", architecture.positions);
  reader.finish();
}

TokenizerChoice parse_tokenizer(ObjectReader reader) {
  TokenizerChoice tokenizer{.model_class = reader.text("class")};
  reader.value("overrides_folders", tokenizer.overrides_folders);
  reader.finish();
  return tokenizer;
}

PaddingDescription parse_padding(ObjectReader reader) {
  PaddingDescription padding;
  reader.value("heads_divide_hidden_size", padding.heads_divide_hidden_size);
  padding.otherwise = reader.optional_text("otherwise");
  padding.as = reader.optional_text("as");
  reader.finish();
  return padding;
}

GgufDescription parse_gguf(ObjectReader reader) {
  GgufDescription gguf{.architecture = reader.text("architecture")};
  reader.value("rotary_neighbours", gguf.rotary_neighbours);
  reader.value("biases", gguf.biases);
  reader.value("head_norms", gguf.head_norms);
  reader.value("rotary_factors", gguf.rotary_factors);
  reader.value("padded_heads", gguf.padded_heads);
  reader.value("fused", gguf.fused);
  reader.value("needs_all", gguf.needs_all);
  if (reader.optional("attention_norm")) gguf.attention_norm = reader.text("attention_norm");
  if (reader.optional("mlp_norm")) gguf.mlp_norm = reader.text("mlp_norm");
  reader.finish();
  return gguf;
}

void parse_attention_block(ObjectReader reader, Architecture& architecture) {
  architecture.attention_prefix = architecture.layer_prefix + reader.text("prefix");
  for (const JsonView& projection : reader.array("projections")) {
    architecture.projections.push_back(parse_projection(ObjectReader(projection)));
  }
  ObjectReader output = reader.child("output");
  architecture.output = output.text("tensor");
  output.setting("bias", architecture.output_bias);
  output.finish();
  architecture.attention = parse_attention(reader);
  reader.finish();
}

Refusal parse_refusal(ObjectReader reader) {
  const auto equals = reader.optional("equals");
  Refusal refusal{.key = reader.text("key"),
                  .equals = equals ? equals->value().dump() : std::string(),
                  .differs_from = reader.optional_text("differs_from"),
                  .why = reader.text("why")};
  reader.value("any_value", refusal.any_value);
  reader.finish();
  return refusal;
}

Condition parse_condition(ObjectReader reader) {
  Condition condition{.key = reader.text("key"), .fallback = "null", .null = "null", .equals = {}};
  if (const auto fallback = reader.optional("default")) condition.fallback = fallback->value().dump();
  if (const auto null = reader.optional("null")) condition.null = null->value().dump();
  const auto equals = reader.required_or_null("equals");
  condition.equals = equals ? equals->value().dump() : "null";
  reader.finish();
  return condition;
}

/// The family's description with some parts in the place of its own; null takes one away.
Architecture parse_variant(ObjectReader reader, const json& family, const std::string& where) {
  json document = family;
  document.erase("variants");
  document.merge_patch(reader.required("change").value());
  Architecture variant = parse_architecture(document, where);
  for (const JsonView& condition : reader.array("when"))
    variant.when.push_back(parse_condition(ObjectReader(condition)));
  reader.finish();
  return variant;
}

}  // namespace

json parse_description(std::string_view json_text, std::string_view where) {
  try {
    return json::parse(json_text);
  } catch (const json::parse_error& error) {
    throw Error(ErrorKind::corrupt, std::string(where), "must be valid JSON", error.what());
  }
}

Architecture parse_architecture(std::string_view json_text, std::string_view where) {
  return parse_architecture(parse_description(json_text, where), std::string(where));
}

/// All values of "key", "also" and so on in a description.
void collect_keys(const json& part, std::set<std::string>& keys) {
  static constexpr std::array<std::string_view, 5> kNames = {"key", "also", "list", "pattern", "plain"};
  for (const auto& [name, value] : part.items()) {
    if (value.is_structured()) collect_keys(value, keys);
    if (value.is_string() && std::ranges::find(kNames, name) != kNames.end()) {
      const auto key = value.get<std::string>();
      keys.insert(key.substr(0, key.find('.')));
    }
    if ((name == "reads_layer_types" && value == true) || name == "in_layers") keys.insert("layer_types");
  }
}

Architecture parse_architecture(const json& document, const std::string& where) {
  Architecture architecture;
  collect_keys(document, architecture.keys);
  ObjectReader root(JsonView(document, where, ""));
  architecture.family = root.text("family");
  architecture.model_types = root.texts("model_types");
  architecture.model_class = root.text("model_class");

  architecture.base_prefix = root.text("base_prefix");
  if (root.optional("becomes")) {
    ObjectReader becomes = root.child("becomes");
    architecture.becomes = FamilyChange{becomes.text("when_there_is"), becomes.text("family")};
    becomes.finish();
  }
  parse_sizes(root.child("config"), architecture);
  architecture.embedding = root.text("embedding");
  parse_head(root.child("output_head"), architecture.head);

  architecture.layer_prefix = root.text("layer_prefix");
  if (architecture.layer_prefix.find("{layer}") == std::string::npos) {
    root.fail("\"layer_prefix\" must contain {layer}", architecture.layer_prefix);
  }
  root.value("transposed", architecture.transposed);
  architecture.norm = parse_norm(root.child("norm"));
  parse_attention_block(root.child("attention"), architecture);
  if (architecture.attention.head_norm.scope != HeadNormScope::head && architecture.norm.offset != 0)
    root.fail("norms with weights of each head's own have no \"offset\"", std::to_string(architecture.norm.offset));

  if (const auto refusals = root.optional("refuse")) {
    for (const JsonView& entry : refusals->items()) architecture.refusals.push_back(parse_refusal(ObjectReader(entry)));
  }
  if (root.optional("more_tensors")) architecture.more_tensors = root.texts("more_tensors");
  architecture.no_forward = root.optional_text("no_forward");
  architecture.carried_quantisation = root.optional_text("carried_quantisation");
  if (root.optional("forward")) architecture.forward = parse_forward(root.child("forward"));
  if (root.optional("tokenizer")) architecture.tokenizer = parse_tokenizer(root.child("tokenizer"));
  if (root.optional("padding")) architecture.padding = parse_padding(root.child("padding"));
  if (root.optional("gguf")) architecture.gguf = parse_gguf(root.child("gguf"));
  if (architecture.forward && architecture.forward->mixer.has_value() != architecture.attention.in_layers.has_value())
    root.fail("a \"mixer\" is what \"in_layers\" leaves without heads", "one of them alone");
  architecture.gqa_note = root.optional_text("gqa_note");
  architecture.no_remote_code = root.optional_text("no_remote_code");
  architecture.no_shared_cache = root.optional_text("no_shared_cache");
  if (const auto variants = root.optional("variants")) {
    for (const JsonView& entry : variants->items())
      architecture.variants.push_back(parse_variant(ObjectReader(entry), document, where));
    for (Architecture& variant : architecture.variants) variant.keys = architecture.keys;
  }
  root.finish();
  return architecture;
}

bool is_composite(const json& document) { return document.is_object() && document.contains("text_config"); }

Composite parse_composite(const json& document, const std::string& where) {
  Composite composite;
  ObjectReader root(JsonView(document, where, ""));
  composite.family = root.text("family");
  composite.model_types = root.texts("model_types");
  composite.model_class = root.text("model_class");
  composite.text_config = root.text("text_config");
  composite.text_family = root.optional_text("text_family");
  root.value("may_be_flat", composite.may_be_flat);
  if (composite.may_be_flat && composite.text_family.empty())
    root.fail("what \"may_be_flat\" needs a \"text_family\"", "none");
  if (root.optional("tokenizer")) composite.tokenizer = parse_tokenizer(root.child("tokenizer"));
  for (const JsonView& entry : root.array("outside_flags")) {
    ObjectReader flag(entry);
    composite.outside_flags.push_back({.key = flag.text("key")});
    (void)flag.required("default");
    flag.value("default", composite.outside_flags.back().fallback);
    flag.value("or_inside", composite.outside_flags.back().or_inside);
    flag.finish();
  }
  for (const JsonView& entry : root.array("names")) {
    ObjectReader name(entry);
    composite.names.push_back({name.text("there"), name.text("here")});
    name.finish();
  }
  root.finish();
  return composite;
}

}  // namespace qcqa
