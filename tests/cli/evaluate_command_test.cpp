#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <fstream>

#include "cli/run_qcqa.hpp"
#include "support/blas.hpp"
#include "support/edited_model.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

nlohmann::json json_of(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--json", "-", "-q"});
  const CommandResult result = run_qcqa(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  return nlohmann::json::parse(result.out);
}

std::vector<std::string> names_of(const nlohmann::json& object) {
  std::vector<std::string> names;
  for (const auto& [name, value] : object.items()) names.push_back(name);
  return names;
}

/// A conversion of the example model to two KV heads, made once.
class EvaluateCommand : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    converted_ = *folder_ / "converted";
    ASSERT_EQ(run_qcqa({"convert", kExampleModel, "--groups", "2", "-o", converted_, "-q"}).exit_code, 0);
  }
  static void TearDownTestSuite() { folder_.reset(); }

  static inline std::unique_ptr<TemporaryFolder> folder_;
  static inline std::string converted_;
};

TEST_F(EvaluateCommand, JsonHasTheDocumentedFields) {
  const auto result =
      json_of({"evaluate", converted_, "--reference", kExampleModel, "--text", kExampleText, "--max-documents", "5"});
  EXPECT_EQ(names_of(result),
            (std::vector<std::string>{"cross_entropy", "documents", "kv_bytes_per_token", "perplexity", "reference",
                                      "standard_error", "tokens", "tokens_per_second"}));
  EXPECT_EQ(names_of(result["reference"]),
            (std::vector<std::string>{"cross_entropy", "difference", "difference_error", "kl_mean", "kl_p99",
                                      "kv_bytes_per_token", "perplexity", "top1_agreement"}));
  EXPECT_EQ(result["documents"], 5);
  EXPECT_EQ(result["kv_bytes_per_token"], 4 * 2 * 2 * 12 * 4);  // layers, keys and values, heads, head_dim, bytes
  EXPECT_GT(result["perplexity"], result["reference"]["perplexity"]);
  EXPECT_GT(result["reference"]["kl_mean"], 0);
}

TEST_F(EvaluateCommand, ThreadsDoNotChangeTheResult) {
  const std::vector<std::string> command = {"evaluate", kExampleModel, "--text", kExampleText, "-j"};
  auto one = command;
  one.emplace_back("1");
  auto three = command;
  three.emplace_back("3");
  const auto perplexity = json_of(one)["perplexity"].get<double>();
  EXPECT_NEAR(perplexity, json_of(three)["perplexity"].get<double>(), rows_are_independent() ? 0 : 1e-6 * perplexity);
}

TEST_F(EvaluateCommand, ContextStrideAndTruncationDecideWhatIsPredicted) {
  const std::vector<std::string> command = {"evaluate",        kExampleModel, "--text",    kExampleText,
                                            "--max-documents", "3",           "--context", "16"};
  const auto with = [&](const std::vector<std::string>& more) {
    auto arguments = command;
    arguments.insert(arguments.end(), more.begin(), more.end());
    return json_of(arguments);
  };
  const auto plain = with({});
  const auto strided = with({"--stride", "4"});
  EXPECT_EQ(strided["tokens"], plain["tokens"]);
  EXPECT_LT(strided["perplexity"], plain["perplexity"]) << "more context, better predictions";
  EXPECT_LT(with({"--truncate"})["tokens"], plain["tokens"]);
  EXPECT_EQ(with({"--max-tokens", "20"})["tokens"], 20);
}

TEST_F(EvaluateCommand, MissedLimitIsExitCodeOne) {
  const std::vector<std::string> command = {"evaluate",        converted_, "--reference",
                                            kExampleModel,     "--text",   kExampleText,
                                            "--max-documents", "5",        "--max-perplexity-increase"};
  auto strict = command;
  strict.emplace_back("0.1%");
  const CommandResult missed = run_qcqa(strict);
  EXPECT_EQ(missed.exit_code, 1);
  EXPECT_NE(missed.err.find("more than --max-perplexity-increase 0.1%"), std::string::npos) << missed.err;
  EXPECT_NE(missed.out.find("Perplexity "), std::string::npos);
  auto generous = command;
  generous.emplace_back("1e9");
  EXPECT_EQ(run_qcqa(generous).exit_code, 0);
}

TEST_F(EvaluateCommand, PositionsAddUpToTheWhole) {
  const std::vector<std::string> command = {"evaluate",        converted_,   "--reference",  kExampleModel,
                                            "--text",          kExampleText, "--context",    "16",
                                            "--max-documents", "5",          "--by-position"};
  const auto result = json_of(command);
  std::int64_t tokens = 0;
  double loss = 0, difference = 0;
  for (const auto& bucket : result["by_position"]) {
    const auto count = bucket["tokens"].get<std::int64_t>();
    tokens += count;
    loss += static_cast<double>(count) * bucket["cross_entropy"].get<double>();
    difference += static_cast<double>(count) * bucket["difference"].get<double>();
  }
  EXPECT_EQ(result["by_position"].size(), 5) << "0, 1, 2 to 3, 4 to 7, 8 to 14";
  EXPECT_EQ(tokens, result["tokens"]);
  EXPECT_NEAR(loss / static_cast<double>(tokens), result["cross_entropy"], 1e-9);
  EXPECT_NEAR(difference / static_cast<double>(tokens), result["reference"]["difference"], 1e-9);
  const CommandResult shown = run_qcqa(command);
  EXPECT_NE(shown.out.find("  position  tokens  cross-entropy  difference\n"), std::string::npos) << shown.out;
  EXPECT_NE(shown.out.find("\n      8-15 "), std::string::npos) << shown.out;
}

TEST_F(EvaluateCommand, RoundedCacheIsShownBesideThatOfTheReference) {
  const std::vector<std::string> command = {"evaluate",   converted_,        "--reference", kExampleModel, "--text",
                                            kExampleText, "--max-documents", "5",           "--kv-cache"};
  auto rounded = command;
  rounded.emplace_back("fp8_e4m3");
  const auto result = json_of(rounded);
  EXPECT_EQ(result["kv_cache"], (nlohmann::json{{"type", "fp8_e4m3"},
                                                {"bytes_per_token", 4 * 2 * 2 * 12},
                                                {"reference_bytes_per_token", 4 * 2 * 8 * 12}}));
  const CommandResult shown = run_qcqa(rounded);
  EXPECT_NE(shown.out.find("KV cache 768 B per token, 192 B as fp8_e4m3; the reference's 3 KiB, 768 B as fp8_e4m3. "),
            std::string::npos)
      << shown.out;
  auto plain = command;
  plain.emplace_back("f32");
  const auto as_computed = json_of(plain);
  EXPECT_EQ(as_computed["perplexity"],
            json_of({"evaluate", converted_, "--text", kExampleText, "--max-documents", "5"})["perplexity"]);
  EXPECT_NE(as_computed["perplexity"], result["perplexity"]);
  EXPECT_FALSE(as_computed.contains("kv_cache"));
}

TEST_F(EvaluateCommand, ChoicesAreAnsweredByBothModels) {
  const std::string questions = folder_->write(
      "questions.jsonl",
      R"({"context": "Sam is a boy. Alex is a boy. Sam has a green hat. Alex has a white lamp. Who has the hat? ", "choices": ["Alex has it.", "Sam has it."], "answer": 1})"
      "\n"
      R"({"context": "Sam is a ", "choices": ["boy.", "hat.", "The end."], "answer": 0})"
      "\n");
  const std::vector<std::string> command = {"evaluate",    converted_,  "--reference",
                                            kExampleModel, "--choices", questions};
  const auto result = json_of(command);
  EXPECT_EQ(names_of(result), std::vector<std::string>{"choices"});
  EXPECT_EQ(names_of(result["choices"]),
            (std::vector<std::string>{"acc", "acc_norm", "acc_norm_stderr", "acc_stderr", "questions", "reference"}));
  EXPECT_EQ(names_of(result["choices"]["reference"]),
            (std::vector<std::string>{"acc", "acc_norm", "acc_norm_stderr", "acc_stderr", "changed", "changed_norm"}));
  EXPECT_EQ(result["choices"]["questions"], 2);
  EXPECT_EQ(result["choices"]["reference"]["acc"], 1) << "the example model knows what it read";
  const CommandResult shown = run_qcqa(command);
  EXPECT_NE(shown.out.find(" 2 questions\nReference: acc 1.0000 +/- 0.0000, acc_norm "), std::string::npos)
      << shown.out;
}

TEST_F(EvaluateCommand, SampleShowsBothCaches) {
  const std::vector<std::string> command = {"evaluate", converted_, "--reference",     kExampleModel,
                                            "--sample", "the",      "--sample-tokens", "9"};
  const auto result = json_of(command);
  const auto& before = result["reference"]["sample"];
  EXPECT_EQ(before["kv_cache_bytes"].get<int>(), 4 * result["sample"]["kv_cache_bytes"].get<int>());
  EXPECT_TRUE(before["text"].get<std::string>().starts_with("the"));
  const CommandResult shown = run_qcqa(command);
  EXPECT_NE(shown.out.find("25.0 % of the reference's"), std::string::npos) << shown.out;
}

TEST_F(EvaluateCommand, TokenIdsNeedNoTokenizer) {
  write_pico_model(*folder_ / "pico", {.head_dim = 4, .mlp_size = 8});
  const std::string ids = folder_->write("ids.jsonl", "[1, 2, 3]\n4 0 1 2\n");
  const auto result = json_of({"evaluate", *folder_ / "pico", "--token-ids", ids});
  EXPECT_EQ(result["tokens"], 5);
  EXPECT_EQ(result["documents"], 2);
}

TEST_F(EvaluateCommand, RunEvaluatesWhatItWrote) {
  const std::string out = *folder_ / "run";
  const CommandResult result = run_qcqa({"run", kExampleModel, "--kv", "0.5", "--merge", "mean", "-o", out,
                                         "--generations", "5", "--text", kExampleText, "--max-documents", "5", "-q"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("Perplexity "), std::string::npos);
  const auto report = nlohmann::json::parse(std::ifstream(out + "/qcqa-report.json"));
  const auto again =
      json_of({"evaluate", out, "--reference", kExampleModel, "--text", kExampleText, "--max-documents", "5"});
  EXPECT_EQ(report["evaluation"]["perplexity"], again["perplexity"]);
  EXPECT_EQ(report["evaluation"]["reference"], again["reference"]);
  EXPECT_EQ(run_qcqa({"report", out + "/qcqa-report.json"}).exit_code, 0);
}

TEST_F(EvaluateCommand, RunFailsWhenTheLimitIsMissed) {
  const std::string out = *folder_ / "limited";
  const CommandResult result =
      run_qcqa({"run", kExampleModel, "--kv", "0.25", "--merge", "mean", "-o", out, "--generations", "5", "--text",
                kExampleText, "--max-documents", "5", "--max-perplexity-increase", "0.1%"});
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_TRUE(std::filesystem::exists(out + "/config.json")) << "what was written stays";
}

TEST_F(EvaluateCommand, MistakesShowBeforeTheTextIsRead) {
  const std::string text = *folder_ / "none.jsonl";
  expect_failure({"evaluate", kExampleModel, "-q", "--text", text, "--sample", "x", "--sample-tokens", "0"}, 2,
                 "--sample-tokens: must be at least 1; found 0");
  expect_failure({"evaluate", kExampleModel, "-q", "--text", text, "--json", *folder_ / "nowhere/x.json"}, 3,
                 "the folder to write in must exist");
  write_pico_model(*folder_ / "headless", {.head_dim = 4, .mlp_size = 8});
  edit_config(*folder_ / "headless", [](auto& config) { config["architectures"] = {"LlamaModel"}; });
  edit_tensors(*folder_ / "headless", [](std::vector<EditedTensor>& tensors) {
    std::erase_if(tensors, [](const EditedTensor& tensor) { return tensor.spec.name == "lm_head.weight"; });
  });
  expect_failure({"evaluate", kExampleModel, "-q", "--text", text, "--reference", *folder_ / "headless"}, 2,
                 "lm_head.weight");
}

TEST_F(EvaluateCommand, MistakesAreOneLine) {
  write_pico_model(*folder_ / "bare", {});
  write_pico_model(*folder_ / "mute", {.head_dim = 4, .mlp_size = 8});
  std::filesystem::remove(*folder_ / "mute/tokenizer.json");
  const std::string empty = folder_->write("empty.txt", "");
  const std::string ids = folder_->write("outside.jsonl", "[1, 2, 480]\n");
  const std::vector<std::pair<std::vector<std::string>, std::string>> mistakes = {
      {{kExampleModel}, "needs --text, --token-ids, --choices or --sample"},
      {{kExampleModel, "--sample", "x", "--by-position"}, "--by-position: needs --text or --token-ids"},
      {{kExampleModel, "--choices", *folder_ / "none.jsonl"}, "none.jsonl: no such file"},
      {{kExampleModel, "--choices", ids}, "outside.jsonl, line 1: must be a JSON object; found array"},
      {{kExampleModel, "--text", *folder_ / "none.jsonl"}, "none.jsonl"},
      {{kExampleModel, "--text", empty}, "must have text to predict"},
      {{kExampleModel, "--token-ids", ids}, "integers from 0 to 479"},
      {{kExampleModel, "--text", kExampleText, "--token-ids", ids}, "excludes"},
      {{kExampleModel, "--text", kExampleText, "--context", "129"}, "from 2 to the model's number of positions, 128"},
      {{kExampleModel, "--text", kExampleText, "--context", "16", "--stride", "16"}, "--stride"},
      {{kExampleModel, "--text", kExampleText, "--max-perplexity-increase", "10%"}, "needs --reference"},
      {{kExampleModel, "--text", kExampleText, "--reference", kExampleModel, "--max-perplexity-increase", "much"},
       "such as 0.1 or 10%"},
      {{kExampleModel, "--text", kExampleText, "--compute", "f16"}, "--compute"},
      {{kExampleModel, "--text", kExampleText, "--compute", "bf16", "--device", "cpu"}, "bf16 needs a GPU"},
      {{kExampleModel, "--text", kExampleText, "--kv-cache", "q5_0"}, "--kv-cache: must be one of f32, bf16, f16"},
      {{kExampleModel, "--text", kExampleText, "--kv-cache", "q8_0"},
       "a KV cache in q8_0 needs a head dimension that is a multiple of 32; found 12. Use --kv-cache fp8_e4m3 or f16."},
      {{kExampleModel, "--sample", "x", "--sample-tokens", "0"}, "--sample-tokens"},
      {{kExampleModel, "--sample", "x", "--temperature", "-1"}, "--temperature"},
      {{*folder_ / "mute", "--text", kExampleText}, "--token-ids"},
      {{*folder_ / "mute", "--sample", "x"}, "tokenizer"},
      {{*folder_ / "bare", "--token-ids", ids}, ""},
  };
  for (const auto& [arguments, part] : mistakes) {
    std::vector<std::string> command = {"evaluate", "-q"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    SCOPED_TRACE(::testing::PrintToString(arguments));
    expect_failure(command, 2, part);
  }
  expect_failure({"run", kExampleModel, "-o", *folder_ / "nowhere", "-q", "--max-perplexity-increase", "1"}, 2,
                 "needs --text");
  expect_failure({"run", kExampleModel, "-o", *folder_ / "nowhere", "-q", "--text", empty}, 2,
                 "must have text to predict");
  EXPECT_FALSE(std::filesystem::exists(*folder_ / "nowhere"));
}

TEST_F(EvaluateCommand, RunEvaluatesTheMergedModelInEveryLayout) {
  std::vector<double> perplexities;
  for (const std::string target : {"transformers", "llama.cpp"}) {
    const TemporaryFolder folder;
    const std::string out = folder / "out";
    const CommandResult result =
        run_qcqa({"run", kExampleModel, "--kv", "0.5", "--uniform", "--merge", "aligned", "--target", target, "--dtype",
                  "f32", "-o", out, "--text", kExampleText, "--max-documents", "5"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const auto report = nlohmann::json::parse(std::ifstream(out + "/qcqa-report.json"));
    perplexities.push_back(report["evaluation"]["perplexity"]);
  }
  EXPECT_NEAR(perplexities[0], perplexities[1], 1e-4 * perplexities[0]);
}

/// The room on the disk is that of the tokens that are there.
TEST_F(EvaluateCommand, MoreTokensAreAskedForThanATextHolds) {
  const TemporaryFolder folder;
  const std::string text =
      folder.write("short.txt", "Once upon a time there was a little dog that liked to run.").string();
  const CommandResult result =
      run_qcqa({"convert", kExampleModel, "-o", folder / "out", "--groups", "2", "--cardinality", "equal", "--merge",
                "subspace", "--calibrate", text, "--calibration-tokens", "900000000000"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(std::filesystem::exists(folder / "out/model.safetensors"));
}

TEST_F(EvaluateCommand, RunEvaluatesWhatOnlyAnotherRuntimeReads) {
  const TemporaryFolder folder;
  const std::string out = folder / "out";
  // The default merge, which samples text, measures and reconstructs, on a little text and with few steps.
  const CommandResult result = run_qcqa({"run", kExampleModel, "--kv", "0.6", "--target", "llama.cpp", "-o", out,
                                         "--text", kExampleText, "--max-documents", "5", "--calibration-tokens", "500",
                                         "--reconstruct-steps", "2", "--distill-steps", "2"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("merge: reconstruct, "), std::string::npos) << result.err;
  const auto report = nlohmann::json::parse(std::ifstream(out + "/qcqa-report.json"));
  EXPECT_GT(report["evaluation"]["reference"]["kl_mean"], 0);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1)
      << "a scratch folder was left behind";
}

}  // namespace
}  // namespace qcqa
