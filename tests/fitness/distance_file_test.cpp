#include "qcqa/fitness/distance_file.hpp"

#include <gtest/gtest.h>

#include "support/expect_error.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;

constexpr const char* kPair = R"({"dist": [[0, 2], [2, 0]], "norm": [1, 3]})";

std::string with_layers(const std::string& layers) { return R"({"num_heads": 2, "layers": )" + layers + "}"; }

DistanceFile read(const std::string& text) {
  const TemporaryFolder folder;
  return read_distance_file(folder.write("d.json", text));
}

void expect_refused(const std::string& text, const std::string& rule) {
  expect_error(ErrorKind::corrupt, rule, [&] { (void)read(text); });
}

TEST(DistanceFile, ReadsLayersInOrderOfTheirKeys) {
  const auto file = read(with_layers(R"({"10": {"k": )" + std::string(kPair) +
                                     R"(, "v": {"dist": [[0, 5], [5, 0]]}}, "9": {"k": )" + kPair + "}}"));
  EXPECT_EQ(file.layers, (std::vector<int>{9, 10}));
  EXPECT_EQ(file.heads, 2);
  EXPECT_EQ(file.hidden_size, 2);
  EXPECT_EQ(file.costs[0].distances()[1], 2);
  EXPECT_EQ(file.costs[1].distances()[1], 7);
  EXPECT_EQ(file.costs[0].norms_k()[1], 3);
}

TEST(DistanceFile, FingerprintTellsDistancesApart) {
  const auto one = read(with_layers(R"({"0": {"k": )" + std::string(kPair) + "}}"));
  const auto other = read(with_layers(R"({"0": {"k": {"dist": [[0, 3], [3, 0]]}}})"));
  EXPECT_EQ(one.fingerprint.size(), 16u);
  EXPECT_NE(one.fingerprint, other.fingerprint);
  EXPECT_EQ(one.fingerprint, read(with_layers(R"({"0": {"k": )" + std::string(kPair) + "}}")).fingerprint);
}

TEST(DistanceFile, RefusesWhatIsNotDistances) {
  expect_refused("[]", "must be an object");
  expect_refused(R"({"layers": {}})", "must have a member \"num_heads\"");
  expect_refused(R"({"num_heads": 257, "layers": {}})", "must be an integer from 1 to 256");
  expect_refused(R"({"num_heads": 2})", "must have a member \"layers\"");
  expect_refused(with_layers("{}"), "must be an object with an entry per layer");
  expect_refused(with_layers(R"({"a": {}})"), "a layer's key must be a whole number");
  expect_refused(with_layers(R"({"-1": {}})"), "a layer's key must be a whole number");
  expect_refused(with_layers(R"({"1": {}, "01": {}})"), "a layer's key must be a whole number, each once");
  expect_refused(with_layers(R"({"0": {"v": {}}})"), "layers.0: must have a member \"k\"");
  expect_refused(with_layers(R"({"0": {"k": {}}})"), "layers.0.k: must have a member \"dist\"");
  expect_refused(with_layers(R"({"0": {"k": {"dist": [[0, 1]]}}})"), "must have one entry per head, 2; found 1");
  expect_refused(with_layers(R"({"0": {"k": {"dist": [[0, "x"], [1, 0]]}}})"), "must be a number; found \"x\"");
  expect_refused(with_layers(R"({"0": {"k": {"dist": [[0, 1], [2, 0]]}}})"), "symmetric");
  expect_refused(with_layers(R"({"0": {"k": {"dist": [[0, -1], [-1, 0]]}}})"), "layers.0");
  expect_refused(with_layers(R"({"0": {"k": {"dist": [[0, 1], [1, 0]], "norm": [1]}}})"), "layers.0.k.norm");
  expect_refused(with_layers(R"({"0": {"k": {"dist": [[0, 1], [1, 0]], "norm": [1, -1]}}})"), "norms_k");
}

}  // namespace
}  // namespace qcqa
