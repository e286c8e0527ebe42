#include "text/special_tokens.hpp"

#include <algorithm>

#include "checkpoint/json_file.hpp"
#include "text/json_view.hpp"

namespace qcqa {
namespace {

class Finder {
 public:
  Finder(const std::filesystem::path& folder, const TextModel& model) : folder_(folder), model_(model) {}

  SpecialTokens run() {
    read("tokenizer_config.json", [this](const JsonView& root) {
      names(root);
      if (const auto adds = root.find("add_bos_token"); adds && adds->value().is_boolean()) adds_bos_ = adds->flag();
    });
    read("special_tokens_map.json", [this](const JsonView& root) { names(root); });
    if (!found_.bos) found_.bos = model_.bos();
    if (const auto eos = model_.eos()) found_.eos.push_back(*eos);
    for (const char* file : {"generation_config.json", "config.json"}) {
      read(file, [this](const JsonView& root) {
        ids(root);
        if (const auto text = root.find("text_config"); text && text->value().is_object()) ids(*text);
      });
    }
    found_.adds_bos = found_.bos && adds_bos_.value_or(model_.leading_token().has_value());
    std::ranges::sort(found_.eos);
    const auto repeated = std::ranges::unique(found_.eos);
    found_.eos.erase(repeated.begin(), repeated.end());
    return std::move(found_);
  }

 private:
  template <typename Action>
  void read(const char* name, Action&& action) const {
    const std::filesystem::path file = folder_ / name;
    if (!std::filesystem::exists(file)) return;
    const nlohmann::json document = read_json_file(file, "Download the file again.");
    action(JsonView(document, file.string() + ":"));
  }

  /// A token is named by its text, or by an object with `content`.
  [[nodiscard]] std::optional<TokenId> named(const JsonView& root, std::string_view key) const {
    const auto name = root.find(key);
    if (!name) return std::nullopt;
    return model_.find(name->value().is_object() ? name->at("content").text() : name->text());
  }

  void names(const JsonView& root) {
    if (!found_.bos) found_.bos = named(root, "bos_token");
    if (const auto eos = named(root, "eos_token")) found_.eos.push_back(*eos);
  }

  void ids(const JsonView& root) {
    if (!found_.bos) {
      const auto bos = root.find("bos_token_id");
      if (bos && bos->value().is_number_integer()) found_.bos = in_range(*bos);
    }
    const auto eos = root.find("eos_token_id");
    if (!eos) return;
    const std::vector<JsonView> all = eos->value().is_array() ? eos->items() : std::vector{*eos};
    for (const JsonView& id : all) {
      if (const auto known = in_range(id)) found_.eos.push_back(*known);
    }
  }

  /// Configurations carry ids of other vocabularies by mistake; those are no help.
  [[nodiscard]] std::optional<TokenId> in_range(const JsonView& id) const {
    const std::int64_t number = id.integer(INT32_MIN, INT32_MAX);
    if (number < 0 || static_cast<std::uint64_t>(number) >= model_.size()) return std::nullopt;
    return static_cast<TokenId>(number);
  }

  const std::filesystem::path& folder_;
  const TextModel& model_;
  SpecialTokens found_;
  std::optional<bool> adds_bos_;
};

}  // namespace

SpecialTokens find_special_tokens(const std::filesystem::path& model_folder, const TextModel& model) {
  return Finder(model_folder, model).run();
}

}  // namespace qcqa
