#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/run_qcqa.hpp"
#include "qcqa/model/model.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

nlohmann::json read_json(const std::filesystem::path& file) { return nlohmann::json::parse(std::ifstream(file)); }

/// A pico model and room for outputs.
class Cli : public ::testing::Test {
 protected:
  void SetUp() override { write_pico_model(model_, {.query_heads = 6, .kv_heads = 6, .head_dim = 2}); }

  [[nodiscard]] std::string at(std::string_view name) const { return folder_ / name; }

  void search(const std::string& report) {
    const auto result = run_qcqa({"search", model_, "-o", report, "-q"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }

  TemporaryFolder folder_;
  std::string model_ = folder_ / "model";
};

TEST_F(Cli, InspectGivesRawNumbersAsJson) {
  const auto json = nlohmann::json::parse(run_qcqa({"inspect", model_, "--json", "-"}).out);
  EXPECT_EQ(json["kv_bytes_per_token"], 2 * 6 * 2 * 2 * 4);
  EXPECT_EQ(json["kv_bytes_at_context"]["4096"], 4096 * json["kv_bytes_per_token"].get<int>());
}

TEST_F(Cli, SearchIsTheSameForAnyNumberOfThreads) {
  ASSERT_EQ(run_qcqa({"search", model_, "-o", at("1.json"), "-q", "-j", "1"}).exit_code, 0);
  ASSERT_EQ(run_qcqa({"search", model_, "-o", at("3.json"), "-q", "-j", "3"}).exit_code, 0);
  auto one = read_json(at("1.json"));
  auto three = read_json(at("3.json"));
  one.erase("timings");
  three.erase("timings");
  EXPECT_EQ(one.dump(), three.dump());
}

TEST_F(Cli, SearchThenConvertHalvesTheCache) {
  search(at("r.json"));
  const auto result = run_qcqa({"convert", model_, "--report", at("r.json"), "--kv", "0.5", "-o", at("out")});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("KV heads 12 -> 6"), std::string::npos) << result.out;
  const Model out = Model::open(at("out"));
  EXPECT_EQ(out.layers()[0].kv_heads, 3);
  const auto report = read_json(at("out/qcqa-report.json"));
  EXPECT_EQ(report["plan"]["layers"].size(), 2U);
}

TEST_F(Cli, PointOfTheFrontConvertsInTheExpandedLayout) {
  search(at("r.json"));
  const auto result =
      run_qcqa({"convert", model_, "--report", at("r.json"), "--point", "3", "--layout", "expanded", "-o", at("out")});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto report = read_json(at("out/qcqa-report.json"));
  const auto labels = report["plan"]["layers"][0]["labels"];
  EXPECT_EQ(labels, report["front"][3]["labels"][0]);
}

TEST_F(Cli, RunSearchesAndConverts) {
  const auto result = run_qcqa({"run", model_, "--kv", "0.34", "-o", at("out")});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(Model::open(at("out")).layers()[0].kv_heads, 2);
}

TEST_F(Cli, TargetChoosesTheLayoutAndSaysWhy) {
  write_pico_model(at("whole"), {.query_heads = 6, .kv_heads = 6, .head_dim = 2, .mlp_size = 8});
  std::filesystem::remove(at("whole/tokenizer.json"));
  struct Case {
    const char *target, *layout, *file;
  };
  for (const Case& entry : {Case{"transformers", "remote-code", "modeling_qcqa.py"},
                            Case{"vllm", "nemotron-nas", "configuration_decilm.py"},
                            Case{"llama.cpp", "deci", "model.gguf"}, Case{"mlx", "openelm", "model.safetensors"}}) {
    SCOPED_TRACE(entry.target);
    const std::string report = at(std::string(entry.target) + ".json"), out = at(std::string(entry.target));
    ASSERT_EQ(run_qcqa({"search", at("whole"), "-o", report, "--target", entry.target, "-q"}).exit_code, 0);
    const auto result =
        run_qcqa({"convert", at("whole"), "--report", report, "--kv", "0.8", "--target", entry.target, "-o", out});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.err.find(std::string("Layout ") + entry.layout + ": head counts per layer"), std::string::npos)
        << result.err;
    EXPECT_TRUE(std::filesystem::exists(std::filesystem::path(out) / entry.file));
  }
}

TEST_F(Cli, SearchForATargetKeepsToItsPlans) {
  // For mlx-lm, biases leave the Nemotron-NAS class, whose group counts are divisors.
  write_pico_model(at("whole"), {.query_heads = 6, .kv_heads = 6, .head_dim = 2, .biases = true, .mlp_size = 8});
  ASSERT_EQ(run_qcqa({"search", at("whole"), "-o", at("r.json"), "--target", "mlx", "-q"}).exit_code, 0);
  const auto report = read_json(at("r.json"));
  for (const auto& point : report["front"]) {
    for (const int groups : point["groups"]) EXPECT_EQ(6 % groups, 0);
  }
}

TEST_F(Cli, TargetAndLayoutExcludeOneAnother) {
  const auto result =
      run_qcqa({"convert", model_, "--groups", "2", "--layout", "gqa", "--target", "vllm", "-o", at("out")});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("chooses the layout"), std::string::npos) << result.err;
  const auto alone = run_qcqa({"convert", model_, "--groups", "2", "--layout", "auto", "-o", at("out")});
  EXPECT_EQ(alone.exit_code, 2);
  EXPECT_NE(alone.err.find("needs --target"), std::string::npos) << alone.err;
}

TEST_F(Cli, DryRunWritesNothing) {
  const auto before = folder_contents(folder_.path());
  const auto result = run_qcqa({"run", model_, "--kv", "0.5", "-o", at("out"), "--dry-run"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("Needs"), std::string::npos);
  EXPECT_EQ(folder_contents(folder_.path()), before);
}

TEST_F(Cli, ForceReplacesTheOutput) {
  ASSERT_EQ(run_qcqa({"convert", model_, "--groups", "3", "-o", at("out"), "-q"}).exit_code, 0);
  ASSERT_EQ(run_qcqa({"convert", model_, "--groups", "2", "-o", at("out"), "-q", "--force"}).exit_code, 0);
  EXPECT_EQ(Model::open(at("out")).layers()[0].kv_heads, 2);
}

TEST_F(Cli, ReportShowsAndCompares) {
  search(at("r.json"));
  EXPECT_NE(run_qcqa({"report", at("r.json")}).out.find("Uniform plans"), std::string::npos);
  EXPECT_TRUE(run_qcqa({"report", at("r.json"), "--select", "baselines"}).out.starts_with("Baselines"));
  ASSERT_EQ(run_qcqa({"search", model_, "-o", at("other.json"), "--fitness", "subspace", "-q"}).exit_code, 0);
  const std::string compared = run_qcqa({"report", at("r.json"), "--compare", at("other.json")}).out;
  EXPECT_NE(compared.find("A: " + at("r.json") + " (" + model_ + ", wse)\n  B: " + at("other.json")), std::string::npos)
      << compared;
  EXPECT_NE(compared.find("Their costs are of different kinds"), std::string::npos) << compared;
  EXPECT_NE(compared.find("B / A"), std::string::npos) << compared;
  EXPECT_EQ(nlohmann::json::parse(run_qcqa({"report", "--schema"}).out)["title"], "qcqa report");
}

TEST_F(Cli, InterruptedSearchResumesToTheSameReport) {
  write_pico_model(at("big"), {.layers = 3, .query_heads = 16, .kv_heads = 16, .head_dim = 4, .hidden_size = 64});
  const std::vector<std::string> base = {
      "search", at("big"), "--strategy", "nsga2", "--population", "64", "--generations", "2500", "--model-generations",
      "100",    "-o"};
  const auto with = [&base](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return more;
  };
  ASSERT_EQ(run_qcqa(with({at("whole.json")})).exit_code, 0);
  auto result = run_qcqa_and_interrupt(with({at("parts.json")}));
  ASSERT_EQ(result.exit_code, 130) << "the search must last longer than the wait; " << result.err;
  EXPECT_NE(result.err.find("--resume"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(at("parts.json")));
  ASSERT_TRUE(std::filesystem::exists(at("parts.json.state")));
  result = run_qcqa(with({at("parts.json"), "--resume"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_FALSE(std::filesystem::exists(at("parts.json.state")));
  auto whole = read_json(at("whole.json"));
  auto parts = read_json(at("parts.json"));
  whole.erase("timings");
  parts.erase("timings");
  EXPECT_EQ(whole.dump(), parts.dump());
}

TEST_F(Cli, StateOfAnotherSearchIsNotResumed) {
  write_pico_model(at("big"), {.layers = 3, .query_heads = 16, .kv_heads = 16, .head_dim = 4, .hidden_size = 64});
  ASSERT_EQ(run_qcqa_and_interrupt(
                {"search", at("big"), "--strategy", "nsga2", "--generations", "100000", "-o", at("r.json")})
                .exit_code,
            130);
  expect_failure({"search", model_, "--resume", "-o", at("r.json")}, 2,
                 "found --generations 100000 then, 200 now; --strategy nsga2 then, auto now; model ");
}

TEST_F(Cli, EveryStrategySearches) {
  double best = 0;
  for (const char* strategy : {"auto", "exact", "local", "nsga2", "kdgqa"}) {
    const auto result = run_qcqa({"search", model_, "--strategy", strategy, "-q", "-o", "-"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const auto report = nlohmann::json::parse(result.out);
    EXPECT_EQ(report["options"]["strategy"], strategy);
    const double hypervolume = report["hypervolume"]["value"];
    if (best == 0) best = hypervolume;
    EXPECT_LE(hypervolume, best * (1 + 1e-12)) << strategy;
    const bool proven = report["front"][3]["proven"];
    if (std::string_view(strategy) == "auto") {
      EXPECT_TRUE(proven);
    }
  }
}

TEST_F(Cli, KeptLayersAndUniformPlans) {
  const auto kept = nlohmann::json::parse(run_qcqa({"search", model_, "--keep-layers", "1", "-q", "-o", "-"}).out);
  for (const auto& point : kept["front"]) EXPECT_EQ(point["groups"][1], 6);
  const auto uniform = nlohmann::json::parse(run_qcqa({"search", model_, "--uniform", "-q", "-o", "-"}).out);
  EXPECT_EQ(uniform["front"].size(), 4U);
  for (const auto& point : uniform["front"]) EXPECT_EQ(point["groups"][0], point["groups"][1]);
}

TEST_F(Cli, SearchesAFileOfDistances) {
  const std::string part = R"({"dist": [[0,1,4,9],[1,0,1,4],[4,1,0,1],[9,4,1,0]], "norm": [1,2,3,4]})";
  const auto file = folder_.write(
      "d.json", R"({"num_heads": 4, "layers": {"11": {"k": )" + part + R"(}, "2": {"k": )" + part + "}}}");
  const auto result = run_qcqa({"search", "--distances", file, "-o", at("r.json")});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto report = read_json(at("r.json"));
  EXPECT_EQ(report["layers"][0]["layer"], 2);
  EXPECT_EQ(report["layers"][1]["layer"], 11);
  EXPECT_EQ(report["layers"][0]["groupings"][2]["cost"], 1.0);  // two pairs of neighbours
  EXPECT_EQ(report["model"]["family"], "distances");
  EXPECT_NE(run_qcqa({"report", at("r.json")}).out.find("kdgqa"), std::string::npos);
  expect_failure({"convert", model_, "--report", at("r.json"), "--kv", "0.5", "-o", at("out")}, 2, "hold no weights");
  expect_failure({"search", "-o", at("x.json")}, 2, "MODEL");
  expect_failure({"search", model_, "--distances", file, "-o", at("x.json")}, 2, "exclu");
  const auto broken = folder_.write("b.json", R"({"num_heads": 4, "layers": {"0": {"k": {"dist": [[0]]}}}})");
  expect_failure({"search", "--distances", broken, "-o", at("x.json")}, 2, "layers.0.k.dist");
}

}  // namespace
}  // namespace qcqa
