#include "qcqa/merge/pooled_model.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "qcqa/checkpoint/float_codec.hpp"
#include "support/expect_error.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

/// Layer 0 keeps its heads.
Plan plan_of(const std::vector<int>& labels) {
  return Plan::of({Grouping::identity(static_cast<int>(labels.size())), Grouping::from_labels(labels)});
}

Model pico(const TemporaryFolder& folder, const PicoModel& shape) {
  write_pico_model(folder / "model", shape);
  return Model::open(folder / "model");
}

using PartOf = const TensorSlice& (*)(const HeadRows&);
constexpr PartOf kParts[] = {[](const HeadRows& head) -> const TensorSlice& { return head.weight; },
                             [](const HeadRows& head) -> const TensorSlice& { return head.bias; },
                             [](const HeadRows& head) -> const TensorSlice& { return head.norm; }};

void expect_equal(const std::vector<HeadRows>& a, const std::vector<HeadRows>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t head = 0; head < a.size(); ++head) {
    for (const PartOf part : kParts) EXPECT_EQ(values_of(part(a[head])), values_of(part(b[head]))) << head;
  }
}

std::vector<double> mean_of(const std::vector<HeadRows>& heads, const std::vector<std::size_t>& members, PartOf part) {
  std::vector<double> sum = values_of(part(heads[members.front()]));
  for (std::size_t i = 1; i < members.size(); ++i) {
    const auto values = values_of(part(heads[members[i]]));
    for (std::size_t k = 0; k < sum.size(); ++k) sum[k] += values[k];
  }
  for (double& value : sum) value /= static_cast<double>(members.size());
  return sum;
}

TEST(PooledModel, KeysAndValuesOfAGroupBecomeTheirMeanInEveryFamily) {
  for (const Architecture& architecture : supported_architectures()) {
    SCOPED_TRACE(architecture.family);
    const TemporaryFolder folder;
    const Model model = pico(folder, {.family = architecture.family, .biases = true, .dtype = Dtype::bf16});
    const Model pooled = pooled_model(model, plan_of({0, 1, 0, 0}), Pooled::all);
    const AttentionLayer& before = model.layers()[1];
    const AttentionLayer& after = pooled.layers()[1];
    expect_equal(after.query, before.query);
    EXPECT_EQ(values_of(*after.output), values_of(*before.output));
    expect_equal(pooled.layers()[0].key, model.layers()[0].key);
    EXPECT_EQ(after.dtype, Dtype::bf16) << "what it is written in";
    for (const PartOf part : kParts) {
      for (const std::size_t head : {0U, 2U, 3U}) {
        EXPECT_EQ(values_of(part(after.key[head])), mean_of(before.key, {0, 2, 3}, part));
        EXPECT_EQ(values_of(part(after.value[head])), mean_of(before.value, {0, 2, 3}, part));
      }
      EXPECT_EQ(values_of(part(after.key[1])), values_of(part(before.key[1])));
    }
  }
}

TEST(PooledModel, OrTheFirstHead) {
  const TemporaryFolder folder;
  const Model model = pico(folder, {.biases = true});
  const Model pooled = pooled_model(model, plan_of({0, 1, 1, 0}), Pooled::first);
  const auto& before = model.layers()[1].value;
  expect_equal(pooled.layers()[1].value, {before[0], before[1], before[1], before[0]});
}

TEST(PooledModel, MeansAreRoundedOnce) {
  // The mean lies just above the middle of two bfloat16 values. Rounding it to float32 on the way would land on the
  // middle, and then on the even neighbour below.
  const TemporaryFolder folder;
  const Model model = pico(folder, {.dtype = Dtype::f64, .adjust = [](const std::string&, std::size_t, double) {
                                      return 1.0 + 0x1p-8 + 0x1p-40;
                                    }});
  const Model rounded = rounded_model(pooled_model(model, plan_of({0, 0, 0, 0}), Pooled::all), Dtype::bf16);
  for (const double value : values_of(rounded.layers()[1].key[2].weight)) EXPECT_EQ(value, 1.0 + 0x1p-7);
}

TEST(PooledModel, EqualHeadsStayBitForBit) {
  const TemporaryFolder folder;
  const std::size_t elements_of_head = 3 * 12;
  std::vector<double> first;
  const Model model =
      pico(folder, {.dtype = Dtype::f64, .adjust = [&](const std::string&, std::size_t i, double value) {
                      if (i < elements_of_head) {
                        if (i == 0) first.clear();
                        first.push_back(value / 3);
                      }
                      return first[i % first.size()];
                    }});
  for (const std::vector<int>& labels : {std::vector<int>{0, 0, 0, 1}, std::vector<int>{0, 0, 0, 0}}) {
    const Model pooled = pooled_model(model, plan_of(labels), Pooled::all);
    expect_equal(pooled.layers()[1].key, model.layers()[1].key);
  }
}

TEST(PooledModel, NamesTheHeadWhoseWeightsAreNotFinite) {
  const TemporaryFolder folder;
  const Model model = pico(folder, {.adjust = [](const std::string& name, std::size_t index, double value) {
                             const bool here = name == "model.layers.1.self_attn.v_proj.weight" && index == 100;
                             return here ? std::numeric_limits<double>::infinity() : value;
                           }});
  const Model pooled = pooled_model(model, plan_of({0, 0, 0, 0}), Pooled::all);
  expect_error(ErrorKind::corrupt,
               "model.layers.1.self_attn.v_proj.weight: weights must be finite; found infinity at [8, 4]",
               [&] { (void)values_of(pooled.layers()[1].value[0].weight); });
}

TEST(RoundedModel, HoldsWhatACheckpointOfThatTypeWould) {
  const TemporaryFolder folder;
  const Model model = pico(folder, {.dtype = Dtype::f32});
  const Model rounded = rounded_model(model, Dtype::f16);
  for (const TensorView& tensor : model.checkpoint().tensors()) {
    if (!is_attention_dtype(tensor.dtype)) continue;
    const std::vector<double> values = values_of(tensor);
    std::vector<std::byte> packed(values.size() * 2);
    encode(values, Dtype::f16, packed);
    std::vector<double> expected(values.size());
    decode(packed, Dtype::f16, expected);
    EXPECT_EQ(values_of(rounded.checkpoint().at(tensor.name)), expected) << tensor.name;
  }
  EXPECT_EQ(rounded.layers()[0].dtype, Dtype::f16);
  EXPECT_EQ(rounded_model(model, {}).checkpoint().tensors().front().derived, nullptr);
}

}  // namespace
}  // namespace qcqa
