#include "text/tokenizer_class.hpp"

#include <algorithm>
#include <array>

#include "qcqa/model/architecture.hpp"

namespace qcqa {
namespace {

using Json = nlohmann::json;
using Steps = TokenizerClass::Steps;

constexpr std::string_view kSpace = "\xE2\x96\x81";
// Qwen 2's published pattern.
constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// The same with marks among the letters: Qwen 3.5's.
constexpr std::string_view kQwen35Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

const std::vector<TokenizerClass>& classes() {
  static constexpr std::string_view kEnd = "<|endoftext|>";
  static const std::vector<TokenizerClass> kRows = {
      {.name = "TokenizersBackend"},
      {.name = "LlamaTokenizer",
       .steps = Steps::llama,
       .names = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}}},
      {.name = "CodeLlamaTokenizer",
       .steps = Steps::code_llama,
       .names = {{"bos_token", "<s>"},
                 {"eos_token", "</s>"},
                 {"unk_token", "<unk>"},
                 {"prefix_token", "\xE2\x96\x81<PRE>"},
                 {"middle_token", "\xE2\x96\x81<MID>"},
                 {"suffix_token", "\xE2\x96\x81<SUF>"},
                 {"eot_token", "\xE2\x96\x81<EOT>"},
                 {"fill_token", "<FILL_ME>"}},
       .adds_bos = true},
      {.name = "GemmaTokenizer",
       .steps = Steps::gemma,
       .names = {{"bos_token", "<bos>"},
                 {"eos_token", "<eos>"},
                 {"unk_token", "<unk>"},
                 {"pad_token", "<pad>"},
                 {"mask_token", "<mask>"}}},
      {.name = "Qwen2Tokenizer",
       .steps = Steps::qwen2,
       .names = {{"eos_token", kEnd}, {"unk_token", kEnd}, {"pad_token", kEnd}},
       .reads_vocab_json = true,
       .special_by_name = true},
      {.name = "Qwen3_5Tokenizer",
       .steps = Steps::qwen3_5,
       .names = {{"eos_token", kEnd}, {"unk_token", kEnd}, {"pad_token", kEnd}}},
      {.name = "GPT2Tokenizer",
       .steps = Steps::gpt2,
       .names = {{"bos_token", kEnd}, {"eos_token", kEnd}, {"unk_token", kEnd}},
       .reads_vocab_json = true},
      {.name = "CodeGenTokenizer",
       .steps = Steps::gpt2,
       .names = {{"bos_token", kEnd}, {"eos_token", kEnd}, {"unk_token", kEnd}},
       .reads_vocab_json = true},
      {.name = "GPTNeoXTokenizer",
       .steps = Steps::nfc_gpt2,
       .names = {{"bos_token", kEnd}, {"eos_token", kEnd}, {"unk_token", kEnd}, {"pad_token", "<|padding|>"}},
       .reads_vocab_json = true,
       .follows_template = false},
      {.name = "RobertaTokenizer",
       .steps = Steps::gpt2,
       .names = {{"bos_token", "<s>"},
                 {"eos_token", "</s>"},
                 {"unk_token", "<unk>"},
                 {"sep_token", "</s>"},
                 {"pad_token", "<pad>"},
                 {"cls_token", "<s>"},
                 {"mask_token", "<mask>"}},
       .reads_vocab_json = true,
       .roberta_template = true},
      {.name = "CohereTokenizer",
       .steps = Steps::cohere,
       .names = {{"bos_token", "<BOS_TOKEN>"},
                 {"eos_token", "<|END_OF_TURN_TOKEN|>"},
                 {"unk_token", "<UNK>"},
                 {"sep_token", "<SEP>"},
                 {"pad_token", "<PAD>"},
                 {"cls_token", "<CLS>"},
                 {"mask_token", "<MASK_TOKEN>"}},
       .reads_vocab_json = true},
      {.name = "", .is_known = false},  // a class of transformers with steps of its own that are not described here
  };
  return kRows;
}

/// Classes that put steps of their own in place of tokenizer.json's. They belong to models that nobody converts, so
/// tokenizer.json is followed, and said so.
constexpr std::array<std::string_view, 37> kOthers = {
    "AlbertTokenizer",     "BarthezTokenizer",  "BertTokenizer",       "BigBirdTokenizer",     "BlenderbotTokenizer",
    "CamembertTokenizer",  "CLIPTokenizer",     "DebertaTokenizer",    "DebertaV2Tokenizer",   "EsmcTokenizer",
    "FunnelTokenizer",     "HerbertTokenizer",  "LasrTokenizer",       "LayoutLMv2Tokenizer",  "LayoutLMv3Tokenizer",
    "LayoutXLMTokenizer",  "LukeTokenizer",     "MarkupLMTokenizer",   "MBartTokenizer",       "MBart50Tokenizer",
    "MLukeTokenizer",      "MPNetTokenizer",    "NllbTokenizer",       "NougatTokenizer",      "OpenAIGPTTokenizer",
    "PegasusTokenizer",    "ReformerTokenizer", "RemBertTokenizer",    "SeamlessM4TTokenizer", "SplinterTokenizer",
    "T5Tokenizer",         "UdopTokenizer",     "VideoPrismTokenizer", "WhisperTokenizer",     "XGLMTokenizer",
    "XLMRobertaTokenizer", "XLNetTokenizer",
};

const TokenizerClass* class_by_name(std::string_view name) {
  if (name.ends_with("Fast")) name.remove_suffix(4);
  for (const TokenizerClass& row : classes()) {
    if (row.name == name) return &row;
  }
  return std::ranges::find(kOthers, name) == kOthers.end() ? nullptr : &classes().back();
}

/// What the family of this model type says of its class; nothing for the types that qcqa does not read.
TokenizerChoice description_of(const std::string& model_type) {
  TokenizerChoice found;
  const auto look_in = [&](const auto& families) {
    for (const auto& family : families) {
      if (std::ranges::find(family.model_types, model_type) != family.model_types.end()) found = family.tokenizer;
    }
  };
  look_in(Families::built_in().architectures());
  look_in(Families::built_in().composites());
  return found;
}

std::string_view without_fast(std::string_view name) {
  if (name.ends_with("Fast")) name.remove_suffix(4);
  return name;
}

Json byte_level(bool add_prefix_space, bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

Json replacement(std::string_view what, std::string_view by) {
  return {{"type", "Replace"}, {"pattern", {{"String", what}}}, {"content", by}};
}

Json byte_fallback_decoder(bool strips) {
  Json steps = Json::array({replacement(kSpace, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});
  if (strips) steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", std::move(steps)}};
}

}  // namespace

const TokenizerClass& choose_tokenizer_class(const TokenizerClassHints& hints) {
  const TokenizerClass& plain = classes().front();
  const auto [own, overrides] = description_of(hints.model_type);
  const std::optional<std::string>& named = hints.declared ? hints.declared : hints.model_config;
  const auto or_plain = [&](const TokenizerClass* found) -> const TokenizerClass& { return found ? *found : plain; };
  if (!named) return own.empty() ? plain : or_plain(class_by_name(own));
  const std::string_view name = without_fast(*named);
  if (!hints.has_code) {
    if (name == "LlamaTokenizer" && !overrides && hints.is_byte_level) return plain;
    if (!own.empty() && own != name) {
      if (own == plain.name) return plain;
      return or_plain(class_by_name(overrides ? own : name));
    }
  }
  return or_plain(class_by_name(name));
}

TokenizerSteps steps_of(const TokenizerClass& tokenizer_class, bool add_prefix_space, bool legacy,
                        const std::string& unknown) {
  TokenizerSteps steps;
  steps.model = {{"type", "BPE"}};
  const auto metaspace = [&](std::string_view scheme) {
    return Json{{"type", "Metaspace"},
                {"replacement", kSpace},
                {"prepend_scheme", add_prefix_space ? scheme : "never"},
                {"split", false}};
  };
  switch (tokenizer_class.steps) {
    case Steps::plain:
      break;
    case Steps::llama:
    case Steps::code_llama: {
      const bool code = tokenizer_class.steps == Steps::code_llama;
      steps.model.update({{"fuse_unk", true}, {"byte_fallback", true}});
      if (code) steps.model["unk_token"] = unknown;
      steps.pre_tokenizer = metaspace(legacy && !code ? "always" : "first");
      steps.decoder = byte_fallback_decoder(code || add_prefix_space);
      break;
    }
    case Steps::gemma:
      steps.model.update({{"fuse_unk", true}, {"byte_fallback", true}, {"unk_token", unknown}});
      steps.normalizer = replacement(" ", kSpace);
      steps.pre_tokenizer = {
          {"type", "Split"}, {"pattern", {{"String", " "}}}, {"behavior", "MergedWithPrevious"}, {"invert", false}};
      steps.decoder = byte_fallback_decoder(false);
      break;
    case Steps::qwen2:
    case Steps::qwen3_5: {
      const std::string_view pattern = tokenizer_class.steps == Steps::qwen2 ? kQwen2Pattern : kQwen35Pattern;
      steps.normalizer = {{"type", "NFC"}};
      steps.pre_tokenizer = {
          {"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}},
            byte_level(add_prefix_space, false)}}};
      steps.decoder = byte_level(true, true);
      break;
    }
    case Steps::nfc_gpt2:
      steps.normalizer = {{"type", "NFC"}};
      [[fallthrough]];
    case Steps::gpt2:
      steps.pre_tokenizer = byte_level(add_prefix_space, true);
      steps.decoder = byte_level(true, true);
      break;
    case Steps::cohere:
      steps.normalizer = {{"type", "NFC"}};
      steps.pre_tokenizer = {
          {"type", "Sequence"},
          {"pretokenizers", {{{"type", "Digits"}, {"individual_digits", true}}, byte_level(add_prefix_space, true)}}};
      steps.decoder = byte_level(true, true);
      break;
  }
  return steps;
}

}  // namespace qcqa
