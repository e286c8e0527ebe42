// Every mistake: one clear line, the documented exit code, nothing left behind.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>
#include <csignal>

#include <fstream>
#include <limits>

#include "cli/run_qcqa.hpp"
#include "support/edited_model.hpp"
#include "support/pico_model.hpp"
#include "support/safetensors_bytes.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

class BadInput : public ::testing::Test {
 protected:
  void SetUp() override { write_pico_model(model_, {}); }

  [[nodiscard]] std::string at(std::string_view name) const { return folder_ / name; }

  /// Expects the failure, and that no file appeared or changed.
  void fails(const std::vector<std::string>& arguments, int exit_code, const std::string& part) {
    const auto before = folder_contents(folder_.path());
    expect_failure(arguments, exit_code, part);
    EXPECT_EQ(folder_contents(folder_.path()), before) << "something was left behind";
  }

  void fails_to_convert(int exit_code, const std::string& part) {
    fails({"convert", model_, "--groups", "2", "-o", at("out")}, exit_code, part);
  }

  TemporaryFolder folder_;
  std::string model_ = folder_ / "model";
};

TEST_F(BadInput, NoCommand) { fails({}, 2, "See `qcqa --help`"); }
TEST_F(BadInput, MistypedCommandGetsAHint) { fails({"serach", model_}, 2, "Did you mean \"search\"?"); }
TEST_F(BadInput, MistypedOptionGetsAHint) {
  fails({"search", model_, "-o", at("r"), "--popluation", "8"}, 2, "Did you mean \"--population\"?");
}
TEST_F(BadInput, NumberThatIsNone) { fails({"search", model_, "-o", at("r"), "--seed", "x"}, 2, "--seed"); }
TEST_F(BadInput, MissingModel) {
  fails({"convert", at("nothing"), "--groups", "2", "-o", at("out")}, 2, "nothing there");
}

TEST_F(BadInput, NonsenseSearchOptions) {
  const std::vector<std::pair<std::string, std::string>> nonsense = {{"--population", "3"},
                                                                     {"--population", "-4"},
                                                                     {"--generations", "-1"},
                                                                     {"--crossover-probability", "1.5"},
                                                                     {"--mutation-probability", "-0.1"},
                                                                     {"--min-groups", "0"},
                                                                     {"--max-groups", "-1"},
                                                                     {"--threads", "-1"},
                                                                     {"--cardinality", "unequal"},
                                                                     {"--stage2", "third"},
                                                                     {"--device", "tpu"}};
  for (const auto& [option, value] : nonsense) {
    SCOPED_TRACE(option + " " + value);
    fails({"search", model_, "-o", at("r.json"), option, value}, 2, "");
  }
  fails({"search", model_, "-o", at("r.json"), "--min-groups", "3", "--max-groups", "2"}, 2, "groups");
}

TEST_F(BadInput, NonsenseConvertOptions) {
  const std::vector<std::pair<std::string, std::string>> nonsense = {
      {"--layout", "gqaa"},      {"--dtype", "int8"},        {"--max-shard-size", "5 lightyears"},
      {"--max-shard-size", "0"}, {"--max-shard-size", "24"}, {"--cardinality", "x"}};
  for (const auto& [option, value] : nonsense) {
    SCOPED_TRACE(option + " " + value);
    fails({"convert", model_, "--groups", "2", "-o", at("out"), option, value}, 2, option);
  }
  fails({"convert", model_, "--groups", "0", "-o", at("out")}, 2, "from 1 to the number of KV heads, 4");
  fails({"convert", model_, "--groups", "5", "-o", at("out")}, 2, "from 1 to the number of KV heads, 4");
  fails({"convert", model_, "--groups", "3", "-o", at("out")}, 2, "divisor");
  fails({"convert", model_, "-o", at("out")}, 2, "needs either --report");
  fails({"convert", model_, "--groups", "2", "--kv", "0.5", "-o", at("out")}, 2, "needs either --report");
  fails({"run", model_, "--kv", "2", "-o", at("out")}, 2, "fraction in (0, 1]");
}

TEST_F(BadInput, NonsenseMergeOptions) {
  const std::vector<std::string> convert = {"convert", model_, "--groups", "2", "-o", at("out")};
  const auto refused = [&](std::vector<std::string> options, const std::string& why) {
    options.insert(options.begin(), convert.begin(), convert.end());
    fails(options, 2, why);
  };
  refused({"--merge", "average"}, "must be one of mean, first");
  refused({"--merge", "reconstruct"}, "needs --calibrate");
  refused({"--calibrate", "self"}, "is for --merge aligned, subspace, refit and reconstruct");
  refused({"--merge", "subspace", "--calibrate", at("none.txt")}, "");
  refused({"--merge", "subspace", "--calibrate", "self", "--calibration-tokens", "1"}, "must be at least 2");
  refused({"--merge", "reconstruct", "--calibrate", "self", "--reconstruct-steps", "-1"}, "must be at least 0");
  refused({"--merge", "reconstruct", "--calibrate", "self", "--distill-steps", "-1"},
          "--distill-steps: must be at least 0");
  refused({"--fitness", "wsse"}, "--fitness");
  refused({"--fitness", "measured"}, "needs --calibrate");
  fails({"run", model_, "-o", at("out"), "--time-limit", "3x"}, 2, "positive time such as 90s");
  fails({"search", model_, "-o", at("report.json"), "--calibrate", "self"}, 2, "is for --fitness");
}

TEST_F(BadInput, NonEmptyOutput) {
  std::filesystem::create_directory(at("out"));
  folder_.write("out/precious.txt", "keep me");
  fails_to_convert(2, "Use --force");
}

TEST_F(BadInput, ForceReplacesOnlyWhatQcqaWrote) {
  std::filesystem::create_directory(at("out"));
  folder_.write("out/precious.txt", "keep me");
  fails({"convert", model_, "--groups", "2", "-o", at("out"), "--force"}, 2, "replaces folders that qcqa wrote");
  fails({"run", model_, "-o", at("out"), "--force"}, 2, "replaces folders that qcqa wrote");
  std::filesystem::create_directory_symlink("nothing", at("link"));
  fails({"convert", model_, "--groups", "2", "-o", at("link")}, 2, "a link to nothing");
}

TEST_F(BadInput, OutputIsTheFolderItRunsIn) {
  const auto before = std::filesystem::current_path();
  std::filesystem::create_directories(at("here/inside"));
  std::filesystem::current_path(at("here/inside"));
  for (const char* output : {".", "..", "../inside/"}) {
    fails({"convert", model_, "--groups", "2", "-o", output, "--force"}, 2, "the folder that qcqa is run in");
  }
  std::filesystem::current_path(before);
}

TEST_F(BadInput, OutputIsAFileOfTheInput) {
  fails({"search", model_, "-o", model_ + "/config.json", "--force"}, 2, "must not be a file of the input");
  fails({"inspect", model_, "--json", model_ + "/config.json"}, 2, "must not be a file of the input");
  fails({"search", model_, "-o", model_, "--force"}, 2, "must name a file");
  fails({"search", model_, "-o", ""}, 2, "must name a file");
}

TEST_F(BadInput, StandardOutputOnAFullDisk) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  EXPECT_EQ(run_qcqa({"inspect", model_}, "/dev/full").exit_code, 3);
}

TEST_F(BadInput, WhatNoRunCanDoIsSaidBeforeWork) {
  const auto refused = [&](std::vector<std::string> options, const std::string& why) {
    const std::vector<std::string> run = {"run", model_, "-o", at("out")};
    options.insert(options.begin(), run.begin(), run.end());
    fails(options, 2, why);
  };
  refused({"--kv", "0.01"}, "the smallest is 25 %");
  refused({"--min-groups", "3"}, "the smallest is 75 %");
  refused({"--min-groups", "5"}, "min groups: must be at most the number of KV heads, 4");
  refused({"--keep-layers", "0,1"}, "the smallest is 100 %");
  refused({"--calibration-tokens", "-5"}, "must be at least 2");
  refused({"--calibrate", at("none.txt")}, "none.txt");
}

TEST_F(BadInput, TextCannotBeMadeUpFromATokenThatIsNone) {
  write_pico_model(at("runs"), {.head_dim = 4, .mlp_size = 8});
  edit_config(at("runs"), [](nlohmann::ordered_json& config) { config["bos_token_id"] = 50256; });
  fails({"convert", at("runs"), "--groups", "2", "--merge", "subspace", "--calibrate", "self", "-o", at("out")}, 2,
        "needs a BOS token of the vocabulary in the tokenizer or in config.json; found 50256 of 5 tokens");
}

TEST_F(BadInput, TensorParallelismDividesTheHeads) {
  fails({"search", model_, "-o", at("r.json"), "--tensor-parallel", "3"}, 2,
        "--tensor-parallel 3: must divide the number of query heads; found 4");
  fails({"search", model_, "-o", at("r.json"), "--tensor-parallel", "0"}, 2, "tensor parallel: must be at least 1");
}

TEST_F(BadInput, OutputIsInput) {
  fails({"convert", model_, "--groups", "2", "-o", model_, "--force"}, 2,
        "must not be (or contain) the model's own folder");
  fails({"run", model_, "-o", model_ + "/.", "--force"}, 2, "must not be (or contain) the model's own folder");
}

TEST_F(BadInput, OutputInMissingFolder) {
  fails({"convert", model_, "--groups", "2", "-o", at("no/such/out")}, 3, "no/such");
}

TEST_F(BadInput, UnwritableFolder) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  std::filesystem::create_directory(at("locked"));
  std::filesystem::permissions(at("locked"), std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  fails({"convert", model_, "--groups", "2", "-o", at("locked/out")}, 3, "locked");
}

TEST_F(BadInput, UnwritableReport) { fails({"search", model_, "-o", "/proc/qcqa-report.json"}, 3, "/proc"); }

TEST_F(BadInput, FullDisk) {
  write_pico_model(at("big"), {.layers = 1, .head_dim = 64, .hidden_size = 512});
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{100'000, old.rlim_max};
  const auto ignored = signal(SIGXFSZ, SIG_IGN);  // inherited: writes fail with EFBIG, as they do with ENOSPC
  setrlimit(RLIMIT_FSIZE, &small);
  const std::vector<std::string> convert = {"convert", at("big"), "--groups", "2", "-o", at("out")};
  expect_failure(convert, 3, "");
  setrlimit(RLIMIT_FSIZE, &old);
  signal(SIGXFSZ, ignored);
  EXPECT_FALSE(std::filesystem::exists(at("out")));
  // What was finished is there, and nothing that was not.
  EXPECT_TRUE(std::filesystem::exists(at("out.state/search-report.json")));
  fails(convert, 2, "Go on with the same command and --resume");
  std::vector<std::string> resumed = convert;
  resumed.push_back("--resume");
  EXPECT_EQ(run_qcqa(resumed).exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(at("out.state")));
}

TEST_F(BadInput, TruncatedWeights) {
  std::filesystem::resize_file(model_ + "/model.safetensors", 3000);
  fails_to_convert(2, "model.safetensors");
}

TEST_F(BadInput, LinksInACircleWhereverTheyAre) {
  namespace fs = std::filesystem;
  for (const std::string name : {"config.json", "generation_config.json", "tokenizer_config.json", "added_tokens.json",
                                 "chat_template.jinja", "model.safetensors"}) {
    const fs::path model = at("circle-" + name);
    fs::copy(QCQA_EXAMPLE_MODEL, model);
    fs::remove(model / name);
    fs::create_symlink(name, model / "other");
    fs::create_symlink("other", model / name);
    const std::string out = at("out");
    expect_failure({"convert", model.string(), "--groups", "2", "--format", "gguf", "-o", out, "-q"}, 2,
                   (model / name).string() + ": a link must lead to a file; found links that lead in a circle");
    EXPECT_FALSE(fs::exists(out)) << name;
  }
}

TEST_F(BadInput, HeaderBomb) {
  folder_.write("model/model.safetensors", le64(std::uint64_t{1} << 62) + "{}");
  fails_to_convert(2, "model.safetensors");
}

TEST_F(BadInput, OffsetsOutOfRange) {
  folder_.write(
      "model/model.safetensors",
      safetensors_bytes(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}})", "1234"));
  fails_to_convert(2, "model.safetensors");
}

TEST_F(BadInput, UnknownDtype) {
  folder_.write("model/model.safetensors",
                safetensors_bytes(R"({"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}})", "1234"));
  fails_to_convert(2, "F31");
}

TEST_F(BadInput, LfsPointer) {
  folder_.write("model/model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123\n");
  fails_to_convert(2, "git lfs pull");
}

TEST_F(BadInput, MissingWeights) {
  std::filesystem::remove(model_ + "/model.safetensors");
  fails_to_convert(2, "model");
}

TEST_F(BadInput, MissingShards) {
  std::filesystem::remove(model_ + "/model.safetensors");
  folder_.write(
      "model/model.safetensors.index.json",
      R"({"metadata":{},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}})");
  fails_to_convert(2, "model-00002-of-00002.safetensors");
}

TEST_F(BadInput, WrongShapes) {
  std::ofstream(model_ + "/config.json")
      << R"({"model_type":"llama","num_hidden_layers":2,"hidden_size":24,"num_attention_heads":4,"head_dim":3,"vocab_size":5})";
  fails_to_convert(2, "shape must be [5, 24] by config.json; found [5, 12]");
}

TEST_F(BadInput, HeadCountsThatDoNotDivide) {
  std::ofstream(model_ + "/config.json")
      << R"({"model_type":"llama","num_hidden_layers":2,"hidden_size":12,"num_attention_heads":4,"num_key_value_heads":3})";
  fails_to_convert(2, "must divide");
}

TEST_F(BadInput, UnsupportedArchitecture) {
  std::ofstream(model_ + "/config.json") << R"({"model_type":"mamba"})";
  fails_to_convert(2, "Supported: ");
}

TEST_F(BadInput, NotANumberWeights) {
  write_pico_model(at("nan"), {.adjust = [](const std::string& name, std::size_t i, double value) {
                     return name == "model.layers.1.self_attn.k_proj.weight" && i == 3
                                ? std::numeric_limits<double>::quiet_NaN()
                                : value;
                   }});
  fails({"search", at("nan"), "-o", at("r.json")}, 2, "model.layers.1.self_attn.k_proj.weight: weights must be finite");
  fails({"convert", at("nan"), "--groups", "2", "-o", at("out")}, 2,
        "model.layers.1.self_attn.k_proj.weight: weights must be finite");
}

TEST_F(BadInput, ReportOfAnotherModel) {
  write_pico_model(at("other"), {.seed = 2});
  ASSERT_EQ(run_qcqa({"search", at("other"), "-o", at("r.json"), "-q"}).exit_code, 0);
  fails({"convert", model_, "--report", at("r.json"), "--kv", "0.5", "-o", at("out")}, 2, "must be about the model");
}

TEST_F(BadInput, ReportThatIsNone) {
  folder_.write("r.json", "{}");
  fails({"convert", model_, "--report", at("r.json"), "--kv", "0.5", "-o", at("out")}, 2, "schema_version");
  fails({"report", at("r.json")}, 2, "schema_version");
  fails({"report", at("missing.json")}, 2, "missing.json");
}

TEST_F(BadInput, PointThatIsNotThere) {
  ASSERT_EQ(run_qcqa({"search", model_, "-o", at("r.json"), "-q"}).exit_code, 0);
  fails({"convert", model_, "--report", at("r.json"), "--point", "99", "-o", at("out")}, 2,
        "must be a point of the report's front");
  fails({"convert", model_, "--report", at("r.json"), "--point", "1", "-o", at("out")}, 2, "--layout expanded");
  fails({"search", model_, "-o", at("r.json")}, 2, "Use --force");
}

TEST_F(BadInput, DamagedState) {
  std::filesystem::create_directory(at("r.json.state"));
  folder_.write("r.json.state/run.json", "{\"x\": 1}");
  folder_.write("r.json.state/lock", "");
  fails({"search", model_, "-o", at("r.json"), "--resume"}, 2, "must be what this version of qcqa keeps of a run");
  fails({"search", model_, "-o", at("r.json")}, 2, "holds what an interrupted run has finished");
  folder_.write("other.json.state", "mine");
  fails({"search", model_, "-o", at("other.json")}, 2, "is where finished steps are kept; found something else");
}

TEST_F(BadInput, LayoutTheFamilyCannotExpress) {
  write_pico_model(at("neox"), {.family = "gpt_neox"});
  fails({"run", at("neox"), "-o", at("out")}, 2, "Use --layout shared-cache");
}

}  // namespace
}  // namespace qcqa
