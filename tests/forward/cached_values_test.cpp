#include "forward/cached_values.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "checkpoint/float8_values.hpp"
#include "qcqa/forward/generate.hpp"
#include "support/expect_error.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;
using Values = std::vector<float>;

/// One row, filled up with zeros to whole blocks of 32.
Values cached(Values values, KvCacheType type) {
  values.resize((values.size() + 31) / 32 * 32);
  const at::Tensor row = at::tensor(at::ArrayRef<float>(values)).view({1, -1});
  const at::Tensor out = as_cached(row, type);
  EXPECT_EQ(out.sizes(), row.sizes());
  EXPECT_EQ(out.scalar_type(), at::kFloat);
  return {out.data_ptr<float>(), out.data_ptr<float>() + out.numel()};
}

Values head(Values values, std::size_t count) {
  values.resize(count);
  return values;
}

TEST(CachedValues, F32IsTheSameTensor) {
  const at::Tensor row = at::randn({3, 64});
  EXPECT_TRUE(as_cached(row, KvCacheType::f32).is_same(row));
}

TEST(CachedValues, HalfPrecisionIsToNearestEven) {
  EXPECT_EQ(head(cached({1 + 0x1p-8F, 1 + 0x3p-8F, -3e38F}, KvCacheType::bf16), 2), (Values{1, 1 + 0x1p-6F}));
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(head(cached({1 + 0x1p-11F, 1 + 0x3p-11F, 0x1p-25F, 0x3p-25F, 65504, -65520}, KvCacheType::f16), 6),
            (Values{1, 1 + 0x1p-9F, 0, 0x1p-23F, 65504, -infinity}));
}

/// The codes of a checkpoint's 8-bit floats: code -> value, for those that are not negative and numbers.
Values e4m3_values() {
  std::vector<std::byte> codes;
  for (int code = 0; code < 127; ++code) codes.push_back(static_cast<std::byte>(code));
  const TensorView view{.name = "codes", .dtype = Dtype::f8_e4m3, .shape = {1, 127}, .stored = codes, .file = {}};
  Values values(codes.size());
  Float8Values(view, {}, 1, 127).make(0, std::as_writable_bytes(std::span(values)));
  return values;
}

TEST(CachedValues, Float8IsTheNearestCodeAndTiesAreEven) {
  const Values known = e4m3_values();
  ASSERT_EQ(known.back(), 448);
  EXPECT_EQ(head(cached(known, KvCacheType::fp8_e4m3), known.size()), known);
  for (std::size_t code = 0; code + 1 < known.size(); ++code) {
    const float middle = (known[code] + known[code + 1]) / 2;
    const float below = std::nextafter(middle, 0.0F);
    const float above = std::nextafter(middle, 1000.0F);
    const float even = known[code + code % 2];
    EXPECT_EQ(head(cached({below, middle, above, -below, -middle, -above}, KvCacheType::fp8_e4m3), 6),
              (Values{known[code], even, known[code + 1], -known[code], -even, -known[code + 1]}))
        << "between codes " << code << " and " << code + 1;
  }
}

TEST(CachedValues, Float8StopsAtItsLargest) {
  EXPECT_EQ(head(cached({449, 464, 1e30F, -1e30F}, KvCacheType::fp8_e4m3), 4), (Values{448, 448, 448, -448}));
}

TEST(CachedValues, Q8RoundsHalvesAwayFromZero) {
  // The largest, 254, makes the scale 2.
  EXPECT_EQ(head(cached({1, 3, 5, -1, -5, 254, 0.99F, -253}, KvCacheType::q8_0), 8),
            (Values{2, 4, 6, -2, -6, 254, 0, -254}));
}

TEST(CachedValues, Q8KeepsItsScaleInHalfPrecision) {
  // 1 / 127 = 0.0078740, between halves 2^-17 apart: the nearest is 2^-7 + 8 * 2^-17. Codes come of the exact scale.
  const float scale = 0x1p-7F + 0x8p-17F;
  EXPECT_EQ(head(cached({1, 0.6F, -0.25F}, KvCacheType::q8_0), 3), (Values{127 * scale, 76 * scale, -32 * scale}));
}

TEST(CachedValues, Q4ReachesFurtherOnTheSideOfTheLargest) {
  EXPECT_EQ(head(cached({-8, 7, 7.4F, 0.5F, -0.5F, 1.4375F, 8}, KvCacheType::q4_0), 7), (Values{-8, 7, 7, 1, 0, 1, 7}));
  EXPECT_EQ(head(cached({8, -8, -7.75F, 0.5F, -0.5F}, KvCacheType::q4_0), 5), (Values{8, -7, -7, 0, -1}));
}

TEST(CachedValues, BlocksHaveTheirOwnScales) {
  for (const KvCacheType type : {KvCacheType::q8_0, KvCacheType::q4_0}) {
    Values values(96, 0);
    values[0] = -8;
    values[32] = -0.125F;  // beside -8 it would be nothing
    const Values out = cached(values, type);
    EXPECT_NEAR(out[0], -8, 0.01);
    EXPECT_NEAR(out[32], -0.125F, 0.0002);
    EXPECT_TRUE(std::ranges::all_of(out, [](float value) { return std::isfinite(value); })) << "blocks of zeros";
  }
}

TEST(KvCache, BytesAreThoseOfTheType) {
  const TemporaryFolder folder;
  write_pico_model(folder.path(), {.query_heads = 2, .kv_heads = 1, .head_dim = 32, .hidden_size = 8});
  const Model model = Model::open(folder.path());
  const std::map<KvCacheType, double> bits = {{KvCacheType::f32, 32},   {KvCacheType::bf16, 16},
                                              {KvCacheType::f16, 16},   {KvCacheType::fp8_e4m3, 8},
                                              {KvCacheType::q8_0, 8.5}, {KvCacheType::q4_0, 4.5}};
  for (const KvCacheFormat& format : kv_cache_formats()) {
    EXPECT_EQ(static_cast<double>(kv_bytes_per_token(model, format.type)), 2 * 2 * 32 * bits.at(format.type) / 8)
        << format.name;  // layers, keys and values, head_dim
  }
}

TEST(KvCache, BlocksMustDivideTheHeadDimension) {
  const TemporaryFolder folder;
  write_pico_model(folder.path(), {.head_dim = 48, .mlp_size = 8});
  const Model model = Model::open(folder.path());
  require_kv_cache(model, KvCacheType::fp8_e4m3);
  const std::string rule = "a KV cache in q8_0 needs a head dimension that is a multiple of 32; found 48";
  expect_error(ErrorKind::unsupported, rule, [&] { require_kv_cache(model, KvCacheType::q8_0); });
  const std::vector<std::vector<std::int32_t>> prompts = {{1}};
  expect_error(ErrorKind::unsupported, rule, [&] { (void)generate(model, prompts, {.kv_cache = KvCacheType::q8_0}); });
}

}  // namespace
}  // namespace qcqa
