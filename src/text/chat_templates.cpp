#include "text/chat_templates.hpp"

#include <algorithm>

#include "checkpoint/json_file.hpp"
#include "support/advice.hpp"
#include "text/tokenizer_view.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;

std::vector<ChatTemplate> read_files(const fs::path& folder) {
  std::vector<ChatTemplate> templates;
  if (fs::exists(folder / kMoreTemplates)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder / kMoreTemplates)) {
      if (!entry.is_regular_file() || entry.path().extension() != ".jinja") continue;
      templates.push_back({entry.path().stem().string(), read_text_file(entry.path())});
    }
  }
  std::ranges::sort(templates, {}, &ChatTemplate::name);
  const fs::path main = folder / "chat_template.jinja";
  if (fs::exists(main)) templates.insert(templates.begin(), {"default", read_text_file(main)});
  return templates;
}

std::vector<ChatTemplate> read_value(const JsonView& value) {
  if (value.value().is_string()) return {{"default", value.text()}};
  std::vector<ChatTemplate> templates;
  if (value.value().is_object()) {
    for (const auto& [name, text] : value.members()) templates.push_back({name, text.text()});
    return templates;
  }
  for (const JsonView& entry : value.items())
    templates.push_back({entry.at("name").text(), entry.at("template").text()});
  return templates;
}

}  // namespace

std::vector<ChatTemplate> read_chat_templates(const fs::path& folder, const nlohmann::json& config) {
  std::vector<ChatTemplate> templates = read_files(folder);
  if (!templates.empty()) return templates;
  if (const auto value = tokenizer_view(config, folder / "tokenizer_config.json").find("chat_template")) {
    return read_value(*value);
  }
  const fs::path old = folder / "chat_template.json";
  if (!fs::exists(old)) return {};
  const nlohmann::json document = read_json_file(old, kFetchAgain);
  const auto value = tokenizer_view(document, old).find("chat_template");
  return value ? read_value(*value) : std::vector<ChatTemplate>();
}

}  // namespace qcqa
