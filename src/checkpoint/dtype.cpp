#include "qcqa/checkpoint/dtype.hpp"

#include <array>
#include <cstddef>

namespace qcqa {
namespace {

struct DtypeRow {
  std::string_view name;
  int bits;
};

// One row per enumerator, in its order.
constexpr std::array<DtypeRow, 22> kDtypes{{
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
}};
static_assert(kDtypes.size() == static_cast<std::size_t>(Dtype::u64) + 1);

constexpr const DtypeRow& row_of(Dtype dtype) noexcept { return kDtypes[static_cast<std::size_t>(dtype)]; }
static_assert(row_of(Dtype::bf16).name == "BF16" && row_of(Dtype::c64).name == "C64");

}  // namespace

std::string_view dtype_name(Dtype dtype) noexcept { return row_of(dtype).name; }

std::optional<Dtype> dtype_from_name(std::string_view name) noexcept {
  for (std::size_t i = 0; i < kDtypes.size(); ++i) {
    if (kDtypes[i].name == name) return static_cast<Dtype>(i);
  }
  return std::nullopt;
}

int dtype_bits(Dtype dtype) noexcept { return row_of(dtype).bits; }

bool is_attention_dtype(Dtype dtype) noexcept {
  return dtype == Dtype::f16 || dtype == Dtype::bf16 || dtype == Dtype::f32 || dtype == Dtype::f64;
}

}  // namespace qcqa
