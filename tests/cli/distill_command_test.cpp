#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/run_qcqa.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;
namespace fs = std::filesystem;

class DistillCommand : public ::testing::Test {
 protected:
  [[nodiscard]] std::string at(std::string_view name) const { return folder_ / name; }

  void convert() const {
    const auto result = run_qcqa({"convert", kExampleModel, "--groups", "2", "-o", at("converted"), "-q"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }

  [[nodiscard]] std::vector<std::string> distill(const std::string& model,
                                                 const std::vector<std::string>& more = {}) const {
    std::vector<std::string> command = {"distill",         model,         "--reference", kExampleModel,          "-o",
                                        at("out"),         "--calibrate", "self",        "--calibration-tokens", "2048",
                                        "--distill-steps", "12"};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }

  TemporaryFolder folder_;
};

TEST_F(DistillCommand, TellsWhatWasGainedAndEvaluateAgrees) {
  convert();
  const auto result = run_qcqa(distill(at("converted")));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find(": KL from the original "), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("Cross-entropy there: original "), std::string::npos) << result.out;
  const auto divergence = [](const std::string& model) {
    const auto measured = run_qcqa({"evaluate", model, "--reference", kExampleModel, "--text", kExampleText,
                                    "--max-documents", "8", "--json", "-", "-q"});
    EXPECT_EQ(measured.exit_code, 0) << measured.err;
    return nlohmann::json::parse(measured.out)["reference"]["kl_mean"].get<double>();
  };
  EXPECT_LT(divergence(at("out")), divergence(at("converted")));
}

TEST_F(DistillCommand, AReportSaysWhatWasDoneSince) {
  convert();
  ASSERT_EQ(run_qcqa(distill(at("converted"))).exit_code, 0);
  const auto report_of = [&](const std::string& model) {
    const auto shown = run_qcqa({"report", model + "/qcqa-report.json"});
    EXPECT_EQ(shown.exit_code, 0) << shown.err;
    return shown.out;
  };
  EXPECT_NE(report_of(at("out")).find("was distilled after it was written: KL from the original "), std::string::npos);
  EXPECT_EQ(report_of(at("converted")).find("distilled"), std::string::npos);
}

TEST_F(DistillCommand, ExitsWith1WhereItBringsNothing) {
  const auto result = run_qcqa(distill(kExampleModel));
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_NE(result.err.find("Nothing was written"), std::string::npos) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_FALSE(fs::exists(at("out")));
}

TEST_F(DistillCommand, CtrlCKeepsWhatIsFinished) {
  convert();
  std::vector<std::string> command = distill(at("converted"));
  command.back() = "100000";
  const auto interrupted = run_qcqa_and_interrupt(command);
  EXPECT_EQ(interrupted.exit_code, 130) << interrupted.err;
  EXPECT_TRUE(fs::exists(at("out.state")));
  EXPECT_FALSE(fs::exists(at("out")));
  expect_failure(command, 2, "--resume");
  command.emplace_back("--resume");
  EXPECT_EQ(run_qcqa_and_interrupt(command).exit_code, 130);
}

TEST_F(DistillCommand, RefusesWhatMakesNoSense) {
  write_pico_model(at("pico"), {.head_dim = 8, .mlp_size = 48});
  expect_failure(distill(at("pico")), 2, "the reference must have the vocabulary, hidden size and number of layers of");
  convert();
  for (const auto& [option, value] : {std::pair("--distill-steps", "0"), std::pair("--distill-rate", "-1"),
                                      std::pair("--scope", "all"), std::pair("--time-limit", "soon")}) {
    expect_failure({"distill", at("converted"), "--reference", kExampleModel, "-o", at("out"), option, value}, 2,
                   option);
  }
  expect_failure({"distill", at("converted"), "--reference", kExampleModel, "-o", at("converted"), "--force"}, 2,
                 "the output must not be");
}

}  // namespace
}  // namespace qcqa
