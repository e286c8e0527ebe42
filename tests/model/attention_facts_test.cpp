#include "model/attention_facts.hpp"

#include <gtest/gtest.h>

#include "forward/rotary_spec.hpp"
#include "support/expect_error.hpp"
#include "support/made_up_family.hpp"

namespace qcqa {
namespace {

using namespace testing;
using Change = std::function<void(nlohmann::json&)>;

/// A made-up family of four layers and a config.json of it.
struct FactsOf {
  explicit FactsOf(const Change& change, nlohmann::ordered_json config = {}) : families(with_made_up(change)) {
    config["model_type"] = "made_up";
    config["layers"] = 4;
    config["head_dim"] = 8;
    read.emplace("config.json", std::move(config), families);
  }
  [[nodiscard]] std::vector<AttentionFacts> facts() const { return attention_facts(*read); }
  [[nodiscard]] std::vector<bool> rotated() const {
    std::vector<bool> rotated;
    for (const AttentionFacts& layer : facts()) rotated.push_back(layer.rotary_dim > 0);
    return rotated;
  }
  [[nodiscard]] std::vector<int> windows() const {
    std::vector<int> windows;
    for (const AttentionFacts& layer : facts()) windows.push_back(layer.window);
    return windows;
  }

  Families families;
  std::optional<ModelConfig> read;
};

void every_third_sees_everything(nlohmann::json& family) {
  family["attention"]["window"] = {{"size", {{"key", "window"}, {"default", 5}, {"null", 0}}},
                                   {"layers", "all_but_every"},
                                   {"period", {{"key", "pattern"}, {"default", 3}}},
                                   {"reads_layer_types", true}};
}

TEST(AttentionFacts, WindowsOfAllButEveryNthLayer) {
  EXPECT_EQ(FactsOf(every_third_sees_everything).windows(), (std::vector{5, 5, 0, 5}));
  EXPECT_EQ(FactsOf(every_third_sees_everything, {{"pattern", 2}}).windows(), (std::vector{5, 0, 5, 0}));
  const nlohmann::ordered_json types = {"full_attention", "full_attention", "full_attention", "sliding_attention"};
  EXPECT_EQ(FactsOf(every_third_sees_everything, {{"layer_types", types}}).windows(), (std::vector{0, 0, 0, 5}));
}

TEST(AttentionFacts, AListedWindowMustBeThere) {
  const auto may_be_off = [](nlohmann::json& family) {
    every_third_sees_everything(family);
    family["attention"]["window"]["enabled"] = {{"key", "on"}, {"default", true}};
  };
  nlohmann::ordered_json config;
  config["layer_types"] = {"sliding_attention", "full_attention", "full_attention", "full_attention"};
  EXPECT_EQ(FactsOf(may_be_off, config).windows(), (std::vector{5, 0, 0, 0}));
  config["on"] = false;
  expect_error(ErrorKind::corrupt, "needs a window, \"on\"; found false",
               [&] { (void)FactsOf(may_be_off, config).facts(); });
  config["on"] = true;
  config["window"] = nullptr;
  expect_error(ErrorKind::corrupt, "needs a window, \"window\"; found none",
               [&] { (void)FactsOf(may_be_off, config).facts(); });
}

TEST(AttentionFacts, WindowsByAPatternOfKinds) {
  const auto by_pattern = [](nlohmann::json& family) {
    family["attention"]["window"] = {{"size", 5}, {"layers", "odd"}, {"pattern", "kinds"}, {"list", "by_layer"}};
  };
  const auto kinds = [](std::string_view list) {
    return nlohmann::ordered_json{{"kinds", nlohmann::ordered_json::parse(list)}};
  };
  EXPECT_EQ(FactsOf(by_pattern).windows(), (std::vector{0, 5, 0, 5}));
  EXPECT_EQ(FactsOf(by_pattern, kinds(R"([[["local", "global"], 1], [["local"], 2]])")).windows(),
            (std::vector{5, 0, 5, 5}));
  auto both = kinds(R"([[["local"], 4]])");
  both["by_layer"] = {"global", "global", "local", "global"};
  EXPECT_EQ(FactsOf(by_pattern, both).windows(), (std::vector{0, 0, 5, 0}));
  both["by_layer"] = {"global", "global", "near", "global"};
  expect_error(ErrorKind::corrupt, "\"by_layer\" knows", [&] { (void)FactsOf(by_pattern, both).facts(); });
  for (const std::string_view wrong :
       {R"([[["local"], 3]])", R"([[["local"], 5]])", R"([[["near"], 4]])", R"([["local", 4]])", R"([[["local"], -4]])",
        R"([[["local"], 4000000000]])", R"("local")", R"([[["local"], 4, 1]])"}) {
    expect_error(ErrorKind::corrupt, "\"kinds\" ", [&] { (void)FactsOf(by_pattern, kinds(wrong)).facts(); });
  }
}

TEST(AttentionFacts, NothingIsRotatedWhereScoresFallWithDistance) {
  const auto either = [](nlohmann::json& family) {
    family["attention"]["alibi"] = {{"exponent", 8}, {"enabled", {{"key", "falls"}, {"default", false}}}};
    family["attention"]["rotary"]["layers"] = "without_alibi";
  };
  const FactsOf rotated(either), falls(either, {{"falls", true}});
  EXPECT_EQ(alibi_exponent(*rotated.read), 0);
  EXPECT_EQ(rotated.rotated(), std::vector(4, true));
  EXPECT_EQ(alibi_exponent(*falls.read), 8);
  EXPECT_EQ(falls.rotated(), std::vector(4, false));
}

TEST(AttentionFacts, OneKvHeadWhateverTheirKeySays) {
  const auto may_be_one = [](nlohmann::json& family) {
    family["config"]["query_heads"] = 4;
    family["config"]["kv_heads"] = {{"key", "kv_heads"}, {"default", 2}};
    family["config"]["one_kv_head"] = {{"key", "one"}, {"default", true}};
  };
  EXPECT_EQ(FactsOf(may_be_one, {{"kv_heads", 4}}).read->shape().kv_heads, 1);
  EXPECT_EQ(FactsOf(may_be_one, {{"kv_heads", 4}, {"one", false}}).read->shape().kv_heads, 4);
}

TEST(AttentionFacts, RoundedSlopesAndWindowsExcludeOneAnother) {
  const auto both = [](nlohmann::json& family) {
    every_third_sees_everything(family);
    family["attention"]["alibi"] = {{"exponent", 8}, {"rounded", true}};
  };
  expect_error(ErrorKind::corrupt, "\"rounded\" slopes are for layers that see everything", [&] { FactsOf{both}; });
}

TEST(AttentionFacts, SomeLayersHaveHeads) {
  const auto some = [](nlohmann::json& family) {
    family.erase("forward");
    family["attention"]["in_layers"] = {{"types", {"full"}},
                                        {"others", {"conv", "linear"}},
                                        {"every", {{"key", "interval"}, {"default", 3}}},
                                        {"list", "with_heads"}};
  };
  const auto with = [&](nlohmann::ordered_json config) {
    return layers_with_heads(*FactsOf(some, std::move(config)).read);
  };
  EXPECT_EQ(with({}), (std::vector{2}));
  EXPECT_EQ(with({{"interval", 2}}), (std::vector{1, 3}));
  EXPECT_EQ(with({{"with_heads", {3, 0, 9}}, {"interval", 2}}), (std::vector{0, 3}));
  EXPECT_EQ(with({{"layer_types", {"full", "conv", "linear", "full"}}, {"with_heads", {1}}}), (std::vector{0, 3}));
  expect_error(ErrorKind::unsupported, "a layer type of a made_up is", [&] {
    (void)with({{"layer_types", {"full", "conv", "other", "full"}}});
  });
  expect_error(ErrorKind::unsupported, "some layers must have", [&] { (void)with({{"interval", 5}}); });
  expect_error(ErrorKind::corrupt, "\"with_heads\" must", [&] { (void)with({{"with_heads", {"1"}}}); });
  EXPECT_EQ(layers_with_heads(*FactsOf([](nlohmann::json&) {}).read), (std::vector{0, 1, 2, 3}));
}

TEST(AttentionFacts, TheFirstOfEveryNthLayerMaySeeEverything) {
  const auto first_of_three = [](nlohmann::json& family) {
    family["attention"]["window"] = {{"size", 5}, {"layers", "all_but_first_of_every"}, {"period", 3}};
  };
  EXPECT_EQ(FactsOf(first_of_three).windows(), (std::vector{0, 5, 5, 0}));
}

TEST(AttentionFacts, AScalingThatTheClassWouldMakeUpIsRefused) {
  const auto scaled = [](nlohmann::json& family) { family["attention"]["rotary"]["must_be_scaled"] = true; };
  expect_error(ErrorKind::unsupported, "without them the class has a scaling of its own",
               [&] { (void)FactsOf(scaled).facts(); });
  EXPECT_EQ(FactsOf(scaled, {{"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}}}).rotated(),
            (std::vector{true, true, true, true}));
}

TEST(AttentionFacts, LayersOfOneKindMayBeAllThatIsRotated) {
  const auto windowed = [](const char* layers) {
    return [layers](nlohmann::json& family) {
      every_third_sees_everything(family);
      family["attention"]["rotary"]["layers"] = layers;
    };
  };
  EXPECT_EQ(FactsOf(windowed("windowed")).rotated(), (std::vector{true, true, false, true}));
  EXPECT_EQ(FactsOf(windowed("windowed_if_any")).rotated(), (std::vector{true, true, false, true}));
  EXPECT_EQ(FactsOf(windowed("windowed"), {{"window", nullptr}}).rotated(), (std::vector(4, false)));
  EXPECT_EQ(FactsOf(windowed("windowed_if_any"), {{"window", nullptr}}).rotated(), (std::vector(4, true)));
}

TEST(AttentionFacts, LayersWithoutRotaryAreListedOrEveryNth) {
  const auto listed = [](nlohmann::json& family) {
    family["attention"]["rotary"].update({{"layers", "listed"}, {"list", "rotated"}, {"period", 2}});
    family["attention"]["window"] = {{"size", {{"key", "window"}, {"default", 0}}}, {"layers", "not_rotated"}};
  };
  EXPECT_EQ(FactsOf(listed).rotated(), (std::vector{true, false, true, false}));
  EXPECT_EQ(FactsOf(listed, {{"rotated", {0, 1, 1, 1}}}).rotated(), (std::vector{false, true, true, true}));
  EXPECT_EQ(FactsOf(listed, {{"rotated", {0, 1, 1, 1}}, {"window", 3}}).windows(), (std::vector{3, 0, 0, 0}));
  expect_error(ErrorKind::corrupt, "\"rotated\" must hold one type for each of the 4 layers; found 2 types", [&] {
    (void)FactsOf(listed, {{"rotated", {0, 1}}}).facts();
  });
}

TEST(AttentionFacts, WithoutARotaryEmbeddingNothingIsRotated) {
  const FactsOf none([](nlohmann::json& family) { family["attention"]["rotary"] = nullptr; });
  EXPECT_EQ(none.rotated(), (std::vector(4, false)));
  EXPECT_EQ(none.facts().front().rotary, LayerRotary::none);
}

void two_thetas(nlohmann::json& family) {
  every_third_sees_everything(family);
  family["attention"]["rotary"]["windowed_theta"] = {{"key", "local_theta"}, {"default", 10.0}};
}

TEST(AttentionFacts, LayersWithAWindowMayHaveARotaryEmbeddingOfTheirOwn) {
  const FactsOf plain(two_thetas, {{"rope_scaling", {{"rope_type", "linear"}, {"factor", 4.0}}}});
  EXPECT_EQ(plain.facts()[1].rotary, LayerRotary::windowed);
  EXPECT_EQ(plain.facts()[2].rotary, LayerRotary::main);
  const RotarySpec main = read_rotary_spec(*plain.read, LayerRotary::main);
  const RotarySpec windowed = read_rotary_spec(*plain.read, LayerRotary::windowed);
  EXPECT_EQ(main.theta, 100);
  EXPECT_EQ(main.frequencies.front(), 0.25F) << "the scaling is that of the layers without a window";
  EXPECT_EQ(windowed.theta, 10);
  EXPECT_EQ(windowed.frequencies.front(), 1);
}

TEST(AttentionFacts, SetsOfRotaryParametersMayBeKeptByTypeOfLayer) {
  const nlohmann::ordered_json by_type = {
      {"full_attention", {{"rope_type", "linear"}, {"factor", 2.0}, {"rope_theta", 7.0}}},
      {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 3.0}}}};
  const FactsOf both(two_thetas, {{"rope_parameters", by_type}});
  EXPECT_EQ(read_rotary_spec(*both.read, LayerRotary::main).theta, 7);
  EXPECT_EQ(read_rotary_spec(*both.read, LayerRotary::main).frequencies.front(), 0.5F);
  EXPECT_EQ(read_rotary_spec(*both.read, LayerRotary::windowed).theta, 3);
  const FactsOf one(every_third_sees_everything, {{"rope_parameters", by_type}});
  expect_error(ErrorKind::unsupported, "one rotary embedding for all layers; found one for full_attention",
               [&] { (void)one.facts(); });
}

TEST(AttentionFacts, AnUnknownScalingSaysHowManyDimensionsAreRotatedAllTheSame) {
  const FactsOf unknown([](nlohmann::json&) {}, {{"rope_scaling", {{"rope_type", "spiral"}}}});
  EXPECT_EQ(unknown.facts().front().rotary_dim, 8);
  expect_error(ErrorKind::unsupported, "spiral", [&] { (void)read_rotary_spec(*unknown.read, LayerRotary::main); });
}

TEST(AttentionFacts, DescriptionsThatContradictThemselvesAreRefused) {
  const auto refused = [](std::string_view part, const Change& change) {
    expect_error(ErrorKind::corrupt, part, [&] { (void)with_made_up(change); });
  };
  refused("need a rotary embedding that is \"listed\"", [](nlohmann::json& family) {
    family["attention"]["window"] = {{"size", 4}, {"layers", "not_rotated"}};
  });
  refused("\"after_rotary\" is for the scope \"head\"", [](nlohmann::json& family) {
    family["attention"]["head_norm"] = {
        {"query", "qn"}, {"key", "kn"}, {"scope", "projection"}, {"after_rotary", true}};
  });
  refused("have no \"offset\"", [](nlohmann::json& family) {
    family["attention"]["head_norm"] = {{"query", "qn"}, {"key", "kn"}, {"scope", "own"}};
    family["norm"]["offset"] = 1.0;
  });
  refused("must have a member \"period\"", [](nlohmann::json& family) {
    family["attention"]["window"] = {{"size", 4}, {"layers", "all_but_every"}};
  });
  refused("head_norm.scope: is one of \"head\", \"own\", \"projection\"", [](nlohmann::json& family) {
    family["attention"]["head_norm"] = {{"query", "qn"}, {"key", "kn"}, {"scope", "layer"}};
  });
}

}  // namespace
}  // namespace qcqa
