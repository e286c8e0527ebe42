#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "qcqa/export/export.hpp"
#include "support/expect_error.hpp"
#include "support/pico_model.hpp"
#include "support/safetensors_bytes.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

class FiniteOutput : public ::testing::Test {
 protected:
  /// A model with this value as element 15 of the tensor: in row 1, column 3.
  void write_model(const std::string& tensor, double value, bool biases = false) {
    std::filesystem::remove_all(folder_ / "in");
    write_pico_model(
        folder_ / "in",
        {.biases = biases, .mlp_size = 10, .adjust = [&](const std::string& name, std::size_t i, double own) {
           const bool spoiled = name == tensor && i == (tensor.ends_with("bias") ? 3 : 15);
           return spoiled ? value : own;
         }});
  }

  void convert(const ExportOptions& options = {}) const {
    const Model model = Model::open(folder_ / "in");
    Plan plan;
    plan = Plan::of(std::vector(model.layers().size(), Grouping::contiguous(4, 2)));
    (void)export_model(model, plan, options, folder_ / "out", Overwrite::refuse);
  }

  void expect_refused(ErrorKind kind, const std::string& part, const ExportOptions& options = {}) const {
    expect_error(kind, part, [&] { convert(options); });
    EXPECT_FALSE(std::filesystem::exists(folder_ / "out"));
  }

  TemporaryFolder folder_;
};

TEST_F(FiniteOutput, NamesTheTensorThatIsNotFinite) {
  for (const char* name :
       {"model.layers.1.self_attn.k_proj.weight", "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.o_proj.weight", "model.layers.0.mlp.up_proj.weight", "model.embed_tokens.weight"}) {
    write_model(name, kNan);
    const std::string why = std::string(name) + ": weights must be finite; found not a number at [1, 3]";
    expect_refused(ErrorKind::corrupt, why);
    expect_refused(ErrorKind::corrupt, why, {.layout = Layout::expanded});
    expect_refused(ErrorKind::corrupt, why, {.dtype = Dtype::bf16});
  }
}

TEST_F(FiniteOutput, LooksAtBiasesAndInfinity) {
  write_model("model.layers.1.self_attn.v_proj.bias", -kInfinity, true);
  expect_refused(ErrorKind::corrupt, "v_proj.bias: weights must be finite; found minus infinity at [3]");
}

TEST_F(FiniteOutput, NamesTheValueThatATypeCannotHold) {
  for (const char* name : {"model.layers.0.mlp.up_proj.weight", "model.layers.0.self_attn.q_proj.weight"}) {
    write_model(name, 1e5);
    expect_refused(ErrorKind::unsupported,
                   std::string(name) + ": must fit into F16; found 100000 at [1, 3]. Write another type",
                   {.dtype = Dtype::f16});
  }
  EXPECT_NO_THROW(convert({.dtype = Dtype::bf16}));
}

TEST_F(FiniteOutput, MeanMayFitWhereAHeadDoesNot) {
  write_model("model.layers.0.self_attn.k_proj.weight", 1e5);  // the mean of two heads is 50000
  EXPECT_NO_THROW(convert({.dtype = Dtype::f16}));
}

// GPT-NeoX's old checkpoints hold the mask that the class makes itself.
TEST_F(FiniteOutput, BuffersThatTheClassComputesMayBeAnything) {
  write_model({}, 0);
  const auto in = folder_ / "in";
  std::filesystem::rename(in / "model.safetensors", in / "1.safetensors");
  std::ofstream(in / "2.safetensors", std::ios::binary)
      << safetensors_bytes(R"({"a.attention.masked_bias":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                           std::string_view("\0\0\x80\xff", 4));
  std::ofstream(in / "model.safetensors.index.json") << R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})";
  EXPECT_NO_THROW(convert());
}

}  // namespace
}  // namespace qcqa
