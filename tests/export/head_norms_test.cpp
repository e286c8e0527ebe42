#include <gtest/gtest.h>

#include <map>

#include "qcqa/evaluate/evaluate.hpp"
#include "qcqa/export/export.hpp"
#include "support/expect_error.hpp"
#include "support/made_up_family.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

constexpr std::size_t kRows = 4, kColumns = 12;

/// A model whose norms of queries and keys have weights for each head, and whose KV heads 0 and 2, 1 and 3 are equal.
struct NormedHeads {
  explicit NormedHeads(const char* scope)
      : families(with_made_up([scope](nlohmann::json& family) {
          family["attention"]["head_norm"] = {{"query", "qn"}, {"key", "kn"}, {"scope", scope}};
        })) {
    std::map<std::string, std::vector<double>> seen;
    PicoModel pico{.family = "made_up", .kv_heads = 4, .head_dim = kRows, .mlp_size = 8, .vocabulary = 20};
    pico.families = &families;
    pico.adjust = [&](const std::string& name, std::size_t index, double value) {
      const bool norm = name.ends_with(".kn.weight");
      if (!norm && !name.ends_with(".k.weight") && !name.ends_with(".v.weight")) return value;
      const std::size_t two_heads = 2 * kRows * (norm ? 1 : kColumns);
      std::vector<double>& first = seen[name];
      if (index < two_heads) first.push_back(value);
      return first[index % two_heads];
    };
    write_pico_model(folder / "in", pico);
  }

  [[nodiscard]] Model model() const { return Model::open(folder / "in", families); }
  [[nodiscard]] Model converted(const std::vector<int>& labels, Layout layout) const {
    const Plan plan = Plan::of({2, Grouping::from_labels(labels)});
    (void)export_model(model(), plan, {.layout = layout}, folder / "out", Overwrite::replace);
    return Model::open(folder / "out", families);
  }
  [[nodiscard]] static double cross_entropy(const Model& model) {
    const std::vector<std::int32_t> ids = {1, 7, 3, 19, 4, 4, 11};
    const std::vector<TokenSequence> text = {{.ids = ids, .first_target = 1, .document = 0}};
    return evaluate(model, nullptr, text, {}).cross_entropy;
  }

  Families families;
  TemporaryFolder folder;
};

TEST(NormsOfHeads, TravelWithTheirHeads) {
  for (const char* scope : {"own", "projection"}) {
    SCOPED_TRACE(scope);
    const NormedHeads source(scope);
    const double before = NormedHeads::cross_entropy(source.model());
    const Model gqa = source.converted({0, 1, 0, 1}, Layout::gqa);
    EXPECT_EQ(gqa.checkpoint().at("base.blocks.0.attn.kn.weight").element_count(), 2 * 4);
    EXPECT_EQ(gqa.checkpoint().at("base.blocks.0.attn.qn.weight").element_count(), 4 * 4);
    EXPECT_NEAR(NormedHeads::cross_entropy(gqa), before, 1e-6);
    EXPECT_NEAR(NormedHeads::cross_entropy(source.converted({0, 1, 0, 1}, Layout::expanded)), before, 1e-6);
    EXPECT_GT(std::abs(NormedHeads::cross_entropy(source.converted({0, 0, 1, 1}, Layout::gqa)) - before), 1e-3);
  }
}

TEST(NormsOfHeads, OfTheirOwnStandPadding) {
  const NormedHeads source("own");
  const double expanded = NormedHeads::cross_entropy(source.converted({0, 1, 1, 1}, Layout::expanded));
  const Model padded = source.converted({0, 1, 1, 1}, Layout::gqa);
  EXPECT_EQ(padded.layers()[0].query_heads, 6);
  EXPECT_NEAR(NormedHeads::cross_entropy(padded), expanded, 1e-6);
}

TEST(NormsOfHeads, OverAllHeadsTogetherNeedEqualGroups) {
  const NormedHeads source("projection");
  expect_error(ErrorKind::unsupported, "all heads of a token are normalised together", [&] {
    (void)source.converted({0, 1, 1, 1}, Layout::gqa);
  });
  EXPECT_NO_THROW((void)source.converted({0, 1, 1, 1}, Layout::expanded));
}

}  // namespace
}  // namespace qcqa
