#include "export/gguf_special_tokens.hpp"

#include <algorithm>
#include <array>

#include "text/chat_templates.hpp"
#include "text/special_tokens.hpp"
#include "text/tokenizer_view.hpp"

namespace qcqa {
namespace {

/// A special token's key in GGUF, in the tokenizer's files, and in config.json.
struct SpecialKey {
  const char* gguf;
  const char* token;
  const char* config;
};
constexpr SpecialKey kBos{"tokenizer.ggml.bos_token_id", "bos_token", "bos_token_id"};
constexpr SpecialKey kEos{"tokenizer.ggml.eos_token_id", "eos_token", "eos_token_id"};
constexpr std::array<SpecialKey, 4> kOthers = {{
    {"tokenizer.ggml.unknown_token_id", "unk_token", "unk_token_id"},
    {"tokenizer.ggml.seperator_token_id", "sep_token", "sep_token_id"},  // GGUF spells it so
    {"tokenizer.ggml.padding_token_id", "pad_token", "pad_token_id"},
    {"tokenizer.ggml.mask_token_id", "mask_token", "mask_token_id"},
}};

/// Tokens that end a turn of a conversation.
constexpr std::array<std::string_view, 9> kTurnEnds = {
    "<|eot_id|>", "<|im_end|>", "<|end|>",         "<end_of_turn>", "<|endoftext|>",
    "<EOT>",      "_<EOT>",     "<|end_of_text|>", "<turn|>",
};

class SpecialIds {
 public:
  SpecialIds(const Model& model, const TokenizerDescription& tokenizer, std::int64_t rows)
      : model_(model), tokenizer_(tokenizer), rows_(rows) {}

  /// What a file names, then config.json.
  [[nodiscard]] std::optional<TokenId> declared(const SpecialKey& key) const {
    const auto it = tokenizer_.named.find(key.token);
    if (it != tokenizer_.named.end() && !it->second.from_class && in_range(it->second.id)) return it->second.id;
    for (const char* place : {"", "text_config"}) {
      const auto& root = model_.config();
      const auto inner = *place == '\0' ? root.end() : root.find(place);
      const auto& object = inner != root.end() && inner->is_object() ? *inner : root;
      if (const auto id = object.find(key.config); id != object.end() && !id->is_null()) return first_of(*id);
    }
    return std::nullopt;
  }

  [[nodiscard]] bool in_range(TokenId id) const { return id >= 0 && id < rows_; }

 private:
  /// Of several ends of a text, the first.
  [[nodiscard]] std::optional<TokenId> first_of(const nlohmann::ordered_json& value) const {
    const auto& first = value.is_array() && !value.empty() ? value.front() : value;
    if (!first.is_number_integer() || first < 0 || first >= rows_) return std::nullopt;
    return first.get<TokenId>();
  }

  const Model& model_;
  const TokenizerDescription& tokenizer_;
  std::int64_t rows_;
};

void put(GgufMetadata& keys, const char* key, std::optional<TokenId> id) {
  if (id) keys.emplace_back(key, static_cast<std::uint32_t>(*id));
}

/// The token that a model with byte fallback has for what it cannot spell; llama.cpp asks for one.
std::optional<TokenId> unknown_of(const TokenizerDescription& tokenizer) {
  if (tokenizer.pieces) return tokenizer.pieces->unknown;
  const JsonView root = tokenizer_view(tokenizer.document, tokenizer.source);
  const JsonView model = root.at("model");
  if (!model.flag_or("byte_fallback", false)) return std::nullopt;
  const auto found = tokenizer.words->vocabulary().find(model.text_or("unk_token", "<unk>"));
  return found == tokenizer.words->vocabulary().end() ? std::nullopt : std::optional(found->second);
}

/// What config.json and generation_config.json end a text with beside `eos`, and what its text calls the end of a turn.
std::optional<TokenId> turn_end(const std::vector<TokenId>& ends, std::optional<TokenId> eos,
                                const TokenizerDescription& tokenizer) {
  for (const TokenId end : ends) {
    const auto token = std::ranges::find(tokenizer.added, end, &AddedToken::id);
    if (end == eos || token == tokenizer.added.end()) continue;
    if (std::ranges::find(kTurnEnds, token->content) != kTurnEnds.end()) return end;
  }
  return std::nullopt;
}

}  // namespace

void add_special_tokens(GgufMetadata& keys, const Model& model, const TokenizerDescription& tokenizer,
                        std::int64_t rows, std::vector<std::string>& notes) {
  const SpecialIds ids(model, tokenizer, rows);
  const SpecialTokens special = find_special_tokens(model.path(), tokenizer, {tokenizer.before, tokenizer.after},
                                                    static_cast<std::size_t>(rows), notes);
  std::optional<TokenId> bos = ids.declared(kBos), eos = ids.declared(kEos);
  if (!bos && special.bos && ids.in_range(*special.bos)) bos = special.bos;
  if (!eos) {
    const auto end = std::ranges::find_if(special.eos, [&](TokenId id) { return ids.in_range(id); });
    if (end != special.eos.end()) eos = *end;
  }
  const TextFrame& frame = special.frame;
  std::optional<TokenId> end_of_turn = turn_end(special.eos, eos, tokenizer);
  // A template that ends with another token than EOS: that token ends a text, EOS a turn.
  if (frame.after.size() == 1 && eos && frame.after.front() != *eos) {
    end_of_turn = eos;
    eos = frame.after.front();
  }
  const auto cls = tokenizer.id_of("cls_token");
  const bool adds_bos = frame.before.size() == 1 && (frame.before.front() == bos || frame.before.front() == cls);
  const bool adds_eos = frame.after.size() == 1 && frame.after.front() == eos;
  if ((!frame.before.empty() && !adds_bos) || (!frame.after.empty() && !adds_eos)) {
    notes.push_back(
        "the tokenizer puts more around a text than BOS and EOS, which GGUF cannot say: llama.cpp leaves it out");
  }
  put(keys, kBos.gguf, adds_bos ? std::optional(frame.before.front()) : bos);
  put(keys, kEos.gguf, eos);
  put(keys, "tokenizer.ggml.eot_token_id", end_of_turn);
  for (const SpecialKey& key : kOthers) {
    const auto id = ids.declared(key);
    put(keys, key.gguf, id || key.gguf != kOthers.front().gguf ? id : unknown_of(tokenizer));
  }
  keys.emplace_back("tokenizer.ggml.add_bos_token", adds_bos);
  keys.emplace_back("tokenizer.ggml.add_eos_token", adds_eos);
}

void add_chat_templates(GgufMetadata& keys, const Model& model, const TokenizerDescription& tokenizer) {
  std::vector<std::string> names;
  for (const ChatTemplate& chat : read_chat_templates(model.path(), tokenizer.config)) {
    if (chat.name == "default") {
      keys.emplace_back("tokenizer.chat_template", chat.text);
      continue;
    }
    std::string name = chat.name;
    const auto is_plain = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    std::ranges::replace_if(
        name, [&](char c) { return !is_plain(c); }, '_');
    if (name.empty() || std::ranges::find(names, name) != names.end()) continue;
    keys.emplace_back("tokenizer.chat_template." + name, chat.text);
    names.push_back(std::move(name));
  }
  if (!names.empty()) keys.emplace_back("tokenizer.chat_templates", std::move(names));
}

}  // namespace qcqa
