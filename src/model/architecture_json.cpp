#include <string>

#include "model/object_reader.hpp"
#include "qcqa/model/architecture.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

using nlohmann::json;

HeadRole role_from_name(const ObjectReader& reader, const json& name) {
  if (name == "query") return HeadRole::query;
  if (name == "key") return HeadRole::key;
  if (name == "value") return HeadRole::value;
  reader.fail("a role is \"query\", \"key\" or \"value\"", name.dump());
}

Projection parse_projection(const json& object, const std::string& where) {
  ObjectReader reader(object, where);
  Projection projection;
  projection.tensor = reader.text("tensor");
  for (const json& role : reader.array("holds")) projection.holds.push_back(role_from_name(reader, role));
  if (const json* order = reader.optional("order")) {
    if (*order == "by_head") {
      projection.order = HeadOrder::by_head;
    } else if (*order != "by_role") {
      reader.fail("\"order\" is \"by_role\" or \"by_head\"", order->dump());
    }
  }
  reader.setting("bias", projection.bias);
  reader.finish();
  return projection;
}

void parse_head(ObjectReader reader, HeadDescription& head) {
  head.tensor = reader.text("tensor");
  if (reader.optional("aliases")) {
    for (const json& name : reader.array("aliases")) head.aliases.push_back(name.get<std::string>());
  }
  reader.flag("bias", head.bias);
  (void)reader.required("tied");
  reader.setting("tied", head.tied);
  reader.finish();
}

void parse_sizes(ObjectReader reader, Architecture& architecture) {
  const auto needed = [&](const char* key, Setting<int>& setting) {
    (void)reader.required(key);
    reader.setting(key, setting);
  };
  needed("layers", architecture.layers);
  needed("hidden_size", architecture.hidden_size);
  needed("query_heads", architecture.query_heads);
  for (const auto& [key, setting] :
       {std::pair{"kv_heads", &architecture.kv_heads}, {"head_dim", &architecture.head_dim}}) {
    if (!reader.required(key).is_null()) reader.setting(key, *setting);  // null: the class reads no such key
  }
  needed("vocabulary", architecture.vocabulary);
  needed("mlp_width", architecture.mlp_width);
  needed("positions", architecture.positions);
  reader.finish();
}

PaddingDescription parse_padding(ObjectReader reader) {
  PaddingDescription padding;
  reader.flag("heads_divide_hidden_size", padding.heads_divide_hidden_size);
  padding.otherwise = reader.optional_text("otherwise");
  padding.as = reader.optional_text("as");
  reader.finish();
  return padding;
}

GgufDescription parse_gguf(ObjectReader reader) {
  GgufDescription gguf{.architecture = reader.text("architecture")};
  reader.flag("rotary_neighbours", gguf.rotary_neighbours);
  reader.flag("biases", gguf.biases);
  reader.flag("head_norms", gguf.head_norms);
  reader.flag("rotary_factors", gguf.rotary_factors);
  reader.flag("padded_heads", gguf.padded_heads);
  reader.finish();
  return gguf;
}

}  // namespace

Architecture parse_architecture(std::string_view json_text, std::string_view where_view) {
  const std::string where(where_view);
  json document;
  try {
    document = json::parse(json_text);
  } catch (const json::parse_error& error) {
    throw Error(ErrorKind::invalid_argument, where, "must be valid JSON", error.what());
  }
  Architecture architecture;
  ObjectReader root(document, where);
  architecture.family = root.text("family");
  for (const json& type : root.array("model_types")) architecture.model_types.push_back(type.get<std::string>());
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

  ObjectReader attention(root.required("attention"), where + ": attention");
  architecture.attention_prefix = attention.text("prefix");
  if (architecture.attention_prefix.find("{layer}") == std::string::npos) {
    attention.fail("\"prefix\" must contain {layer}", architecture.attention_prefix);
  }
  for (const json& projection : attention.array("projections")) {
    architecture.projections.push_back(parse_projection(projection, where + ": projections"));
  }
  ObjectReader output = attention.child("output");
  architecture.output = output.text("tensor");
  output.setting("bias", architecture.output_bias);
  output.finish();
  attention.finish();

  if (const json* refusals = root.optional("refuse")) {
    for (const json& entry : *refusals) {
      ObjectReader reader(entry, where + ": refuse");
      architecture.refusals.push_back({reader.text("key"), reader.required("equals").dump(), reader.text("why")});
      reader.finish();
    }
  }
  if (root.optional("more_tensors")) {
    for (const json& name : root.array("more_tensors")) architecture.more_tensors.push_back(name.get<std::string>());
  }
  architecture.no_forward = root.optional_text("no_forward");
  if (root.optional("forward")) architecture.forward = parse_forward_description(root.child("forward"));
  if (root.optional("padding")) architecture.padding = parse_padding(root.child("padding"));
  if (root.optional("gguf")) architecture.gguf = parse_gguf(root.child("gguf"));
  architecture.no_remote_code = root.optional_text("no_remote_code");
  root.finish();
  return architecture;
}

}  // namespace qcqa
