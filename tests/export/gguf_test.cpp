#include <gtest/gtest.h>

#include <algorithm>

#include "checkpoint/gguf.hpp"
#include "export/plan_of.hpp"
#include "qcqa/export/export.hpp"
#include "support/edited_model.hpp"
#include "support/expect_error.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"
#include "text/tokenizer_files.hpp"

namespace qcqa {
namespace {

using namespace testing;

constexpr int kVocabulary = 270;

/// A model folder that can be run, with the tokenizer.json given (or none).
struct GgufSource {
  explicit GgufSource(const PicoModel& pico, const nlohmann::json& tokenizer = byte_level_json()) {
    write_pico_model(folder / "in", pico);
    (void)folder.write("in/tokenizer.json", tokenizer.dump());
    if (tokenizer.is_null()) std::filesystem::remove(folder / "in/tokenizer.json");
  }

  GgufFile convert(const Labels& labels, std::optional<Layout> layout = {}, std::optional<Dtype> dtype = {}) const {
    const Model model = Model::open(folder / "in");
    const Plan plan = plan_of(labels);
    ExportOptions options{.format = FileFormat::gguf, .dtype = dtype};
    options.layout = layout ? *layout : choose_layout(model, plan, Target::llama_cpp).layout;
    summary = export_model(model, plan, options, folder / "out", Overwrite::replace);
    return read_gguf(folder / "out" / kGgufFile);
  }

  TemporaryFolder folder;
  mutable ExportSummary summary;
};

PicoModel llama() {
  return {.query_heads = 4, .kv_heads = 4, .head_dim = 4, .hidden_size = 16, .mlp_size = 24, .vocabulary = kVocabulary};
}

const Labels kUniformLabels = {{0, 1, 0, 1}, {0, 0, 1, 1}}, kUnequalLabels = {{0, 1, 1, 1}, {0, 0, 0, 0}};

template <typename T>
T value(const GgufFile& file, std::string_view key) {
  const GgufValue* found = file.find(key);
  if (!found || !std::holds_alternative<T>(*found)) {
    ADD_FAILURE() << key << (found ? ": another type" : ": not there");
    return {};
  }
  return std::get<T>(*found);
}

const TensorView& tensor(const GgufFile& file, std::string_view name) {
  const auto it = std::ranges::find(file.tensors, name, &TensorView::name);
  if (it == file.tensors.end()) throw std::runtime_error("no tensor " + std::string(name));
  return *it;
}

using Shape = std::vector<std::int64_t>;

TEST(GgufExport, AWindowIsSaidToBeTheEndOfWhatIsTheSame) {
  const GgufSource source(llama(), nullptr);
  edit_config(source.folder / "in", [](auto& config) {
    config["model_type"] = "mistral";
    config["max_position_embeddings"] = 64;
    config["sliding_window"] = 16;
  });
  const GgufFile file = source.convert(kUniformLabels);
  EXPECT_EQ(value<std::uint32_t>(file, "llama.context_length"), 16U);
  EXPECT_EQ(source.summary.same_up_to, 16);
  EXPECT_NE(same_result(source.summary).find("up to 16 tokens"), std::string::npos);
  edit_config(source.folder / "in", [](auto& config) { config["sliding_window"] = 64; });
  (void)source.convert(kUniformLabels);
  EXPECT_EQ(same_result(source.summary), "computes the same");
}

TEST(ExportGguf, UniformPlansAreLlama) {
  const GgufSource source(llama());
  const GgufFile file = source.convert(kUniformLabels);
  EXPECT_EQ(value<std::string>(file, "general.architecture"), "llama");
  EXPECT_EQ(value<std::uint32_t>(file, "llama.attention.head_count"), 4U);
  EXPECT_EQ(value<std::uint32_t>(file, "llama.attention.head_count_kv"), 2U);
  EXPECT_EQ(value<std::uint32_t>(file, "llama.attention.key_length"), 4U);
  EXPECT_EQ(value<std::uint32_t>(file, "llama.feed_forward_length"), 24U);
  EXPECT_EQ(tensor(file, "blk.0.attn_k.weight").shape, (Shape{8, 16}));
  EXPECT_EQ(tensor(file, "blk.1.ffn_gate.weight").shape, (Shape{24, 16}));
  EXPECT_EQ(tensor(file, "token_embd.weight").shape, (Shape{kVocabulary, 16}));
  EXPECT_EQ(source.summary.padding_parameters, 0);
}

TEST(ExportGguf, OtherPlansAreDeciWithCountsPerLayer) {
  const GgufSource source(llama());
  const GgufFile file = source.convert(kUnequalLabels);
  EXPECT_EQ(value<std::string>(file, "general.architecture"), "deci");
  EXPECT_EQ(value<std::vector<std::int32_t>>(file, "deci.attention.head_count"), (std::vector<std::int32_t>{6, 4}));
  EXPECT_EQ(value<std::vector<std::int32_t>>(file, "deci.attention.head_count_kv"), (std::vector<std::int32_t>{2, 1}));
  EXPECT_EQ(value<std::vector<std::int32_t>>(file, "deci.feed_forward_length"), (std::vector<std::int32_t>{24, 24}));
  EXPECT_EQ(tensor(file, "blk.0.attn_q.weight").shape, (Shape{24, 16}));
  EXPECT_EQ(tensor(file, "blk.0.attn_output.weight").shape, (Shape{16, 24}));
  EXPECT_EQ(tensor(file, "blk.1.attn_v.weight").shape, (Shape{4, 16}));
  EXPECT_EQ(source.summary.kv_bytes_per_token_after * 8, source.summary.kv_bytes_per_token_before * 3);
}

TEST(ExportGguf, KeysTurnInNeighboursAndValuesDoNot) {
  const GgufSource source(llama());
  const GgufFile file = source.convert({{0, 1, 2, 3}, {0, 1, 2, 3}});
  const Model model = Model::open(source.folder / "in");
  const auto before = values_of(model.checkpoint().at("model.layers.1.self_attn.k_proj.weight"));
  const auto after = values_of(tensor(file, "blk.1.attn_k.weight"));
  const std::size_t from[] = {0, 2, 1, 3};
  for (std::size_t row = 0; row < 16; ++row) {
    for (std::size_t i = 0; i < 16; ++i) {
      ASSERT_EQ(after[row * 16 + i], before[(row / 4 * 4 + from[row % 4]) * 16 + i]) << row << ", " << i;
    }
  }
  const auto same = values_of(model.checkpoint().at("model.layers.1.self_attn.v_proj.weight"));
  EXPECT_EQ(values_of(tensor(file, "blk.1.attn_v.weight")), same);
}

TEST(ExportGguf, QwenKeepsItsOwnArchitectureWhereItCan) {
  PicoModel pico = llama();
  pico.family = "qwen2";
  pico.biases = true;
  const GgufSource source(pico);
  const GgufFile own = source.convert(kUniformLabels);
  EXPECT_EQ(value<std::string>(own, "general.architecture"), "qwen2");
  const auto bias =
      values_of(Model::open(source.folder / "in").checkpoint().at("model.layers.0.self_attn.q_proj.bias"));
  const auto moved = values_of(tensor(own, "blk.0.attn_q.bias"));
  EXPECT_EQ(moved[4], bias[8]) << "the second place of group {0, 2} is query head 2, in the input's row order";
  EXPECT_EQ(moved[5], bias[9]);
  EXPECT_EQ(value<std::string>(source.convert(kUnequalLabels), "general.architecture"), "deci");
  const GgufFile padded = source.convert({{0, 1, 1, 1}, {0, 0, 1, 1}}, Layout::gqa);
  EXPECT_EQ(value<std::string>(padded, "general.architecture"), "llama");
  EXPECT_EQ(value<std::uint32_t>(padded, "llama.attention.head_count"), 6U);
}

TEST(ExportGguf, TypeIsThatOfMatricesAndVectorsAreF32) {
  const GgufSource source(llama());
  for (const Dtype dtype : {Dtype::bf16, Dtype::f16}) {
    const GgufFile file = source.convert(kUnequalLabels, {}, dtype);
    for (const TensorView& view : file.tensors) {
      EXPECT_EQ(view.dtype, view.shape.size() == 1 ? Dtype::f32 : dtype) << view.name;
    }
    EXPECT_EQ(value<std::uint32_t>(file, "general.file_type"), dtype == Dtype::f16 ? 1U : 32U);
  }
}

TEST(ExportGguf, FamiliesThatComputeOtherwiseAreRefused) {
  PicoModel pico = llama();
  pico.family = "gemma";
  const GgufSource source(pico);
  expect_error(ErrorKind::unsupported, "other norms", [&] { (void)source.convert(kUniformLabels, Layout::gqa); });
  expect_error(ErrorKind::unsupported, "no layout of this runtime", [&] { (void)source.convert(kUniformLabels); });
}

TEST(ExportGguf, DeciIsNoSafetensorsLayout) {
  const GgufSource source(llama());
  const Model model = Model::open(source.folder / "in");
  expect_error(ErrorKind::invalid_argument, "Add --format gguf", [&] { require_layout(model, Layout::deci); });
}

TEST(ExportGguf, ByteLevelTokenizersAreCarried) {
  const GgufFile file = GgufSource(llama()).convert(kUniformLabels);
  EXPECT_EQ(value<std::string>(file, "tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(value<std::string>(file, "tokenizer.ggml.pre"), "gpt-2");
  const auto tokens = value<std::vector<std::string>>(file, "tokenizer.ggml.tokens");
  const auto kinds = value<std::vector<std::int32_t>>(file, "tokenizer.ggml.token_type");
  ASSERT_EQ(tokens.size(), static_cast<std::size_t>(kVocabulary));
  ASSERT_EQ(kinds.size(), tokens.size());
  EXPECT_EQ(tokens[258], "\u0120the");
  EXPECT_EQ(tokens[260], "<|end|>");
  EXPECT_EQ(kinds[258], 1);
  EXPECT_EQ(kinds[260], 3);
  EXPECT_EQ(kinds[265], 5) << "a row of the embedding without a token";
  EXPECT_EQ(value<std::vector<std::string>>(file, "tokenizer.ggml.merges").front(), "\u0120 t");
}

TEST(ExportGguf, ByteFallbackTokenizersMergeByRank) {
  const GgufFile file = GgufSource(llama(), fallback_json()).convert(kUniformLabels);
  EXPECT_EQ(value<std::string>(file, "tokenizer.ggml.model"), "llama");
  const auto tokens = value<std::vector<std::string>>(file, "tokenizer.ggml.tokens");
  const auto scores = value<std::vector<float>>(file, "tokenizer.ggml.scores");
  const auto kinds = value<std::vector<std::int32_t>>(file, "tokenizer.ggml.token_type");
  EXPECT_EQ(tokens[3], "<0x00>");
  EXPECT_EQ(kinds[0], 2);
  EXPECT_EQ(kinds[3], 6);
  EXPECT_EQ(kinds[260], 1);
  EXPECT_GT(scores[263], scores[264]) << "an earlier merge comes first";
  EXPECT_GT(scores[264], scores[260]) << "no merge makes a single character";
}

TEST(ExportGguf, SentencePieceModelsAreCarried) {
  const GgufSource source(llama(), nullptr);
  (void)source.folder.write("in/tokenizer.model", sentencepiece_bytes(fallback_pieces(), 2, true));
  const GgufFile file = source.convert(kUniformLabels);
  const auto pieces = fallback_pieces();
  const auto tokens = value<std::vector<std::string>>(file, "tokenizer.ggml.tokens");
  const auto scores = value<std::vector<float>>(file, "tokenizer.ggml.scores");
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    EXPECT_EQ(tokens[id], pieces[id].text);
    EXPECT_EQ(scores[id], pieces[id].score);
  }
  EXPECT_EQ(value<std::uint32_t>(file, "tokenizer.ggml.unknown_token_id"), 0U);
}

TEST(ExportGguf, AddedTokensComeFromTheSameReadingAsTheEvaluations) {
  const GgufSource source(llama(), fallback_json());
  (void)source.folder.write("in/tokenizer.model", sentencepiece_bytes(fallback_pieces(), 2, true));
  (void)source.folder.write("in/tokenizer_config.json",
                            R"({"eos_token": "<|im_end|>", "pad_token": "<pad>", "added_tokens_decoder": {
                              "266": {"content": "<|im_start|>", "special": false},
                              "267": {"content": "<|im_end|>", "special": true},
                              "268": {"content": "\u2581tool", "special": false}}})");
  const GgufFile file = source.convert(kUniformLabels);
  const auto tokens = value<std::vector<std::string>>(file, "tokenizer.ggml.tokens");
  const auto kinds = value<std::vector<std::int32_t>>(file, "tokenizer.ggml.token_type");
  EXPECT_EQ(tokens[266], "<|im_start|>");
  EXPECT_EQ(kinds[266], 3) << "what looks special is so";
  EXPECT_EQ(kinds[267], 3);
  EXPECT_EQ(tokens[268], " tool");
  EXPECT_EQ(kinds[268], 4);
  EXPECT_EQ(value<std::uint32_t>(file, "tokenizer.ggml.eos_token_id"), 267U);
  EXPECT_EQ(value<std::uint32_t>(file, "tokenizer.ggml.padding_token_id"), 269U);
  EXPECT_EQ(value<bool>(file, "tokenizer.ggml.add_bos_token"), true);
  EXPECT_EQ(value<bool>(file, "tokenizer.ggml.add_eos_token"), false);
}

TEST(ExportGguf, AnotherEndOfTheTemplateMakesEosTheEndOfATurn) {
  nlohmann::json tokenizer = fallback_json();
  tokenizer["post_processor"] = {{"type", "RobertaProcessing"}, {"cls", {"<s>", 1}}, {"sep", {"</s>", 2}}};
  const GgufSource source(llama(), tokenizer);
  (void)source.folder.write("in/tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": "<|im_end|>"})");
  const GgufFile file = source.convert(kUniformLabels);
  EXPECT_EQ(value<std::uint32_t>(file, "tokenizer.ggml.eos_token_id"), 2U);
  EXPECT_EQ(value<std::uint32_t>(file, "tokenizer.ggml.eot_token_id"), 266U);
  EXPECT_EQ(value<bool>(file, "tokenizer.ggml.add_eos_token"), true);
}

TEST(ExportGguf, EveryChatTemplateIsCarried) {
  const GgufSource source(llama());
  (void)source.folder.write("in/tokenizer_config.json", R"({"chat_template": [{"name": "default", "template": "D"},
    {"name": "tool-use", "template": "T"}]})");
  const GgufFile file = source.convert(kUniformLabels);
  EXPECT_EQ(value<std::string>(file, "tokenizer.chat_template"), "D");
  EXPECT_EQ(value<std::string>(file, "tokenizer.chat_template.tool_use"), "T");
  EXPECT_EQ(value<std::vector<std::string>>(file, "tokenizer.chat_templates"), std::vector<std::string>{"tool_use"});
}

TEST(ExportGguf, TheTokenizerIsNoReasonAgainstALayout) {
  nlohmann::json tokenizer = byte_level_json();
  tokenizer["pre_tokenizer"]["add_prefix_space"] = true;
  const GgufSource source(llama(), tokenizer);
  const Model model = Model::open(source.folder / "in");
  EXPECT_NO_THROW(require_layout(model, Layout::gqa, FileFormat::gguf));
  expect_error(ErrorKind::unsupported, "tokenizer.json: --format gguf: needs a pre_tokenizer",
               [&] { require_tokenizer(model, FileFormat::gguf); });
  EXPECT_NO_THROW(require_tokenizer(model, FileFormat::safetensors));
}

TEST(ExportGguf, UnigramIsRefused) {
  const GgufSource source(llama(), nullptr);
  (void)source.folder.write("in/tokenizer.model", sentencepiece_bytes(fallback_pieces(), 1, true));
  expect_error(ErrorKind::unsupported, "of the kind BPE", [&] { (void)source.convert(kUniformLabels, Layout::gqa); });
  EXPECT_FALSE(std::filesystem::exists(source.folder / "out"));
}

TEST(ExportGguf, UnknownPreTokenizersAreRefused) {
  nlohmann::json tokenizer = byte_level_json();
  tokenizer["pre_tokenizer"] = {{"type", "Sequence"},
                                {"pretokenizers",
                                 {{{"type", "Digits"}, {"individual_digits", false}},
                                  {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}}}};
  const GgufSource source(llama(), tokenizer);
  expect_error(ErrorKind::unsupported, "needs a pre_tokenizer that llama.cpp has",
               [&] { (void)source.convert(kUniformLabels, Layout::gqa); });
}

TEST(ExportGguf, StoppingLeavesNothingBehind) {
  const GgufSource source(llama());
  const auto before = folder_contents(source.folder.path());
  const Model model = Model::open(source.folder / "in");
  const Plan plan = plan_of(kUnequalLabels);
  int reports = 0;
  expect_error(ErrorKind::interrupted, "nothing was written", [&] {
    (void)export_model(model, plan, {.layout = Layout::deci, .format = FileFormat::gguf}, source.folder / "out",
                       Overwrite::refuse, [&](const ProgressEvent&) { return ++reports < 3; });
  });
  EXPECT_EQ(folder_contents(source.folder.path()), before);
}

TEST(ExportGguf, WithoutTokenizerTheFileSaysSo) {
  const GgufFile file = GgufSource(llama(), nullptr).convert(kUniformLabels);
  EXPECT_EQ(value<std::string>(file, "tokenizer.ggml.model"), "no_vocab");
}

TEST(ExportGguf, WithoutTokenizerANoteSaysSo) {
  const GgufSource source(llama(), nullptr);
  (void)source.convert(kUniformLabels);
  ASSERT_EQ(source.summary.notes.size(), 1U);
  EXPECT_NE(source.summary.notes[0].find("no vocabulary"), std::string::npos);
}

TEST(ExportGguf, ATokenizerThatCannotBeReadIsNotLeftOut) {
  const GgufSource source(llama(), nullptr);
  std::filesystem::create_symlink("nowhere", source.folder / "in/tokenizer.json");
  expect_error(ErrorKind::not_found, "is a link to a file that is not there",
               [&] { (void)source.convert(kUniformLabels); });
}

TEST(ExportGguf, MoreTokensThanRowsAreRefused) {
  PicoModel pico = llama();
  pico.vocabulary = 20;
  const GgufSource source(pico);
  expect_error(ErrorKind::unsupported, "more tokens than the embedding",
               [&] { (void)source.convert(kUniformLabels, Layout::gqa); });
}

}  // namespace
}  // namespace qcqa
