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
  reader.finish();
  return projection;
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

  ObjectReader config(root.required("config"), where + ": config");
  architecture.layers_key = config.text("layers");
  architecture.hidden_size_key = config.text("hidden_size");
  architecture.query_heads_key = config.text("query_heads");
  architecture.kv_heads_key = config.text_or_null("kv_heads");
  architecture.head_dim_key = config.text_or_null("head_dim");
  config.finish();

  ObjectReader attention(root.required("attention"), where + ": attention");
  architecture.attention_prefix = attention.text("prefix");
  if (architecture.attention_prefix.find("{layer}") == std::string::npos) {
    attention.fail("\"prefix\" must contain {layer}", architecture.attention_prefix);
  }
  for (const json& projection : attention.array("projections")) {
    architecture.projections.push_back(parse_projection(projection, where + ": projections"));
  }
  architecture.output = attention.text("output");
  attention.finish();

  if (const json* refusals = root.optional("refuse")) {
    for (const json& entry : *refusals) {
      ObjectReader reader(entry, where + ": refuse");
      architecture.refusals.push_back({reader.text("key"), reader.required("equals").dump(), reader.text("why")});
      reader.finish();
    }
  }
  architecture.no_forward = root.optional_text("no_forward");
  if (root.optional("forward")) architecture.forward = parse_forward_description(root.child("forward"));
  root.finish();
  return architecture;
}

}  // namespace qcqa
