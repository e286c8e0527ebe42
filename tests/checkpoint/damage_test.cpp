#include <gtest/gtest.h>
#include <string>

#include "qcqa/checkpoint/checkpoint.hpp"
#include "qcqa/support/error.hpp"
#include "support/pytorch_bytes.hpp"
#include "support/safetensors_bytes.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using testing::safetensors_bytes;
using testing::TemporaryFolder;

/// Opens and reads every byte; any qcqa::Error is fine, anything else (a crash above all) is not.
bool opens(const std::filesystem::path& file) {
  try {
    const Checkpoint checkpoint = Checkpoint::open(file);
    unsigned sum = 0;
    for (const TensorView& view : checkpoint.tensors()) {
      for (const std::byte byte : view.stored) sum += static_cast<unsigned>(byte);
      if (!view.derived || view.element_count() > 4096) continue;
      std::vector<std::byte> made;
      for (const std::byte byte : view.all().bytes(made)) sum += static_cast<unsigned>(byte);
    }
    EXPECT_LT(sum, 1u << 30);
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::string small_file() {
  return safetensors_bytes(
      R"({"__metadata__":{"format":"pt"},"model.w":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},)"
      R"("b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}   )",
      "0123456789abcdef");
}

TEST(DamagedSafetensors, EveryTruncationIsRefused) {
  const TemporaryFolder folder;
  const std::string whole = small_file();
  ASSERT_TRUE(opens(folder.write("a.safetensors", whole)));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(opens(folder.write("a.safetensors", whole.substr(0, size)))) << size;
  }
}

TEST(DamagedSafetensors, NoBitFlipCrashes) {
  const TemporaryFolder folder;
  const std::string whole = small_file();
  for (std::size_t i = 0; i < whole.size() * 8; ++i) {
    std::string flipped = whole;
    flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ (1 << (i % 8)));
    (void)opens(folder.write("a.safetensors", flipped));
  }
}

TEST(DamagedSafetensors, NoByteValueCrashes) {
  const TemporaryFolder folder;
  const std::string whole = small_file();
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const char value : {'\0', '\xff', '"', '{', '}', '[', ']', '9', '-', '\\'}) {
      std::string changed = whole;
      changed[i] = value;
      (void)opens(folder.write("a.safetensors", changed));
    }
  }
}

enum class Container { zip32, zip64, legacy };

std::string small_pytorch_file(Container container) {
  using namespace testing;
  const std::string entries = p_text("w") + p_tensor(p_storage("FloatStorage", "0", 4), 0, {2, 2}, {2, 1}) + "q\x07" +
                              p_text("v") + "h\x07" + p_text("t") +
                              p_tensor(p_storage("FloatStorage", "0", 4), 0, {2, 2}, {1, 2}) + p_text("b") +
                              p_tensor(p_storage("HalfStorage", "1", 3), 1, {2}, {1});
  if (container == Container::legacy) {
    return legacy_pytorch_bytes(p_state_dict(entries), {{"0", 4, "0123456789abcdef"}, {"1", 3, "xxyyzz"}});
  }
  return pytorch_bytes(p_state_dict(entries), {"0123456789abcdef", "xxyyzz"}, container == Container::zip64);
}

class DamagedPytorch : public ::testing::TestWithParam<Container> {};

TEST_P(DamagedPytorch, EveryTruncationIsRefused) {
  const TemporaryFolder folder;
  const std::string whole = small_pytorch_file(GetParam());
  ASSERT_TRUE(opens(folder.write("a.bin", whole)));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(opens(folder.write("a.bin", whole.substr(0, size)))) << size;
  }
}

TEST_P(DamagedPytorch, NoBitFlipCrashes) {
  const TemporaryFolder folder;
  const std::string whole = small_pytorch_file(GetParam());
  for (std::size_t i = 0; i < whole.size() * 8; ++i) {
    std::string flipped = whole;
    flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ (1 << (i % 8)));
    (void)opens(folder.write("a.bin", flipped));
  }
}

TEST_P(DamagedPytorch, NoByteValueCrashes) {
  const TemporaryFolder folder;
  const std::string whole = small_pytorch_file(GetParam());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const char value : {'\0', '\xff', '.', '(', 't', 'R', 'Q', 'h', 'q', 'b', 's', 'u', '\x85', 'N'}) {
      std::string changed = whole;
      changed[i] = value;
      (void)opens(folder.write("a.bin", changed));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Containers, DamagedPytorch,
                         ::testing::Values(Container::zip32, Container::zip64, Container::legacy),
                         [](const auto& param) {
                           return param.param == Container::zip32   ? "Zip32"
                                  : param.param == Container::zip64 ? "Zip64"
                                                                    : "Legacy";
                         });

}  // namespace
}  // namespace qcqa
