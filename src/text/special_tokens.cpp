#include "text/special_tokens.hpp"

#include <algorithm>

#include "checkpoint/json_file.hpp"
#include "text/tokenizer_view.hpp"

namespace qcqa {
namespace {

class Finder {
 public:
  Finder(const std::filesystem::path& folder, std::size_t size, std::vector<std::string>& notes)
      : folder_(folder), size_(size), notes_(notes) {}

  SpecialTokens run(const TokenizerDescription& tokenizer, const TextFrame& frame) {
    found_.frame = frame;
    found_.bos = tokenizer.id_of("bos_token");
    if (!found_.bos && !frame.before.empty()) found_.bos = frame.before.front();
    if (const auto eos = tokenizer.id_of("eos_token")) found_.eos.push_back(*eos);
    for (const char* file : {"generation_config.json", "config.json"}) read(file);
    std::ranges::sort(found_.eos);
    const auto repeated = std::ranges::unique(found_.eos);
    found_.eos.erase(repeated.begin(), repeated.end());
    return std::move(found_);
  }

 private:
  /// These files are about generation; without them a text has the same ids.
  void read(const char* name) {
    const std::filesystem::path file = folder_ / name;
    if (!std::filesystem::exists(file)) return;
    try {
      const nlohmann::json document = read_json_file(file);
      const JsonView root = tokenizer_view(document, file);
      ids(root);
      if (const auto text = root.find("text_config"); text && text->value().is_object()) ids(*text);
    } catch (const Error& error) {
      notes_.push_back(std::string(error.what()) + " What it says of special tokens is not known.");
    }
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
    if (number < 0 || static_cast<std::uint64_t>(number) >= size_) return std::nullopt;
    return static_cast<TokenId>(number);
  }

  const std::filesystem::path& folder_;
  std::size_t size_;
  std::vector<std::string>& notes_;
  SpecialTokens found_;
};

}  // namespace

SpecialTokens find_special_tokens(const std::filesystem::path& model_folder, const TokenizerDescription& tokenizer,
                                  const TextFrame& frame, std::size_t size, std::vector<std::string>& notes) {
  return Finder(model_folder, size, notes).run(tokenizer, frame);
}

}  // namespace qcqa
