// Damaged files are refused, or read as what they then say: never a crash, and never a byte that is no tensor's.
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <optional>
#include <set>
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

/// Names of tensors and the bytes of their values.
using Tensors = std::map<std::string, std::string>;

/// Opens and reads every byte; nothing when the file is refused. Any other exception than qcqa::Error is a failure.
std::optional<Tensors> read_tensors(const std::filesystem::path& file) {
  try {
    const Checkpoint checkpoint = Checkpoint::open(file);
    Tensors tensors;
    for (const TensorView& view : checkpoint.tensors()) {
      std::vector<std::byte> made;
      const auto bytes = view.all().bytes(made);
      tensors[view.name].assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    return tensors;
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string flipped(std::string bytes, std::size_t bit) {
  bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
  return bytes;
}

unsigned sum_of(std::string_view bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), 0U,
                         [](unsigned sum, char byte) { return sum + static_cast<unsigned char>(byte); });
}

unsigned sum_of(const Tensors& tensors) {
  unsigned sum = 0;
  for (const auto& [name, bytes] : tensors) sum += sum_of(bytes);
  return sum;
}

constexpr std::string_view kData = "0123456789abcdef";

std::string small_file() {
  return safetensors_bytes(
      R"({"__metadata__":{"format":"pt"},"model.w":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},)"
      R"("b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}   )",
      kData);
}

TEST(DamagedSafetensors, EveryTruncationIsRefused) {
  const TemporaryFolder folder;
  const std::string whole = small_file();
  ASSERT_EQ(read_tensors(folder.write("a.safetensors", whole)), (Tensors{{"b", "cdef"}, {"model.w", "0123456789ab"}}));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(read_tensors(folder.write("a.safetensors", whole.substr(0, size)))) << size;
  }
}

TEST(DamagedSafetensors, AFlippedBitOfTheDataIsReadAsItIs) {
  const TemporaryFolder folder;
  const std::string whole = small_file();
  for (std::size_t bit = (whole.size() - kData.size()) * 8; bit < whole.size() * 8; ++bit) {
    const std::string damaged = flipped(whole, bit);
    const std::string data = damaged.substr(whole.size() - kData.size());
    ASSERT_EQ(read_tensors(folder.write("a.safetensors", damaged)),
              (Tensors{{"b", data.substr(12)}, {"model.w", data.substr(0, 12)}}));
  }
}

/// A header that is still one has every byte of the data in one tensor, whatever it calls them.
void expect_all_data_or_refusal(const TemporaryFolder& folder, const std::string& damaged) {
  const auto tensors = read_tensors(folder.write("a.safetensors", damaged));
  if (!tensors) return;
  ASSERT_EQ(sum_of(*tensors), sum_of(kData));
}

TEST(DamagedSafetensors, AFlippedBitOfTheHeaderLosesNoData) {
  const TemporaryFolder folder;
  const std::string whole = small_file();
  for (std::size_t bit = 0; bit < (whole.size() - kData.size()) * 8; ++bit) {
    expect_all_data_or_refusal(folder, flipped(whole, bit));
  }
}

TEST(DamagedSafetensors, AnotherByteInTheHeaderLosesNoData) {
  const TemporaryFolder folder;
  const std::string whole = small_file();
  for (std::size_t i = 0; i + kData.size() < whole.size(); ++i) {
    for (const char value : {'\0', '\xff', '"', '{', '}', '[', ']', '9', '-', '\\'}) {
      std::string damaged = whole;
      damaged[i] = value;
      expect_all_data_or_refusal(folder, damaged);
    }
  }
}

enum class Container { zip32, zip64, legacy };

/// The elements of two storages, float32 and float16.
struct Storages {
  std::string floats = "0123456789abcdef", halves = "xxyyzz";
};

std::string small_pytorch_file(Container container) {
  using namespace testing;
  const std::string entries = p_text("w") + p_tensor(p_storage("FloatStorage", "0", 4), 0, {2, 2}, {2, 1}) + "q\x07" +
                              p_text("v") + "h\x07" + p_text("t") +
                              p_tensor(p_storage("FloatStorage", "0", 4), 0, {2, 2}, {1, 2}) + p_text("b") +
                              p_tensor(p_storage("HalfStorage", "1", 3), 1, {2}, {1});
  const Storages storages;
  if (container == Container::legacy) {
    return legacy_pytorch_bytes(p_state_dict(entries), {{"0", 4, storages.floats}, {"1", 3, storages.halves}});
  }
  return pytorch_bytes(p_state_dict(entries), {storages.floats, storages.halves}, container == Container::zip64);
}

/// What small_pytorch_file() holds when these are its storages.
Tensors tensors_of(const Storages& storages) {
  const auto element = [&](std::size_t i) { return storages.floats.substr(4 * i, 4); };
  return {{"w", storages.floats},
          {"v", storages.floats},
          {"t", element(0) + element(2) + element(1) + element(3)},
          {"b", storages.halves.substr(2)}};
}

class DamagedPytorch : public ::testing::TestWithParam<Container> {
 protected:
  [[nodiscard]] bool is_data(std::size_t byte) const {
    const auto within = [&](const std::string& data) {
      const std::size_t begin = whole_.find(data);
      return byte >= begin && byte < begin + data.size();
    };
    return within(Storages().floats) || within(Storages().halves);
  }

  /// Pickles and directories that are still ones may describe other tensors, but of elements that are there.
  void expect_elements_or_refusal(const std::string& damaged) const {
    const auto tensors = read_tensors(folder_.write("a.bin", damaged));
    if (!tensors) return;
    std::set<std::string> elements;
    for (const auto& data : {Storages().floats, Storages().halves}) {
      for (std::size_t i = 0; i + 2 <= data.size(); i += 2) elements.insert(data.substr(i, 2));
    }
    for (const auto& [name, bytes] : *tensors) {
      for (std::size_t i = 0; i < bytes.size(); i += 2) ASSERT_TRUE(elements.contains(bytes.substr(i, 2))) << name;
    }
  }

  TemporaryFolder folder_;
  std::string whole_ = small_pytorch_file(GetParam());
};

TEST_P(DamagedPytorch, EveryTruncationIsRefused) {
  ASSERT_EQ(read_tensors(folder_.write("a.bin", whole_)), tensors_of({}));
  for (std::size_t size = 0; size < whole_.size(); ++size) {
    EXPECT_FALSE(read_tensors(folder_.write("a.bin", whole_.substr(0, size)))) << size;
  }
}

TEST_P(DamagedPytorch, AFlippedBitOfAStorageIsReadAsItIs) {
  int tried = 0;
  for (std::size_t bit = 0; bit < whole_.size() * 8; ++bit) {
    if (!is_data(bit / 8)) continue;
    const std::string damaged = flipped(whole_, bit);
    const Storages storages{damaged.substr(whole_.find(Storages().floats), 16),
                            damaged.substr(whole_.find(Storages().halves), 6)};
    ASSERT_EQ(read_tensors(folder_.write("a.bin", damaged)), tensors_of(storages)) << bit;
    ++tried;
  }
  EXPECT_EQ(tried, (16 + 6) * 8);
}

TEST_P(DamagedPytorch, AFlippedBitElsewhereReadsNothingElse) {
  for (std::size_t bit = 0; bit < whole_.size() * 8; ++bit) {
    if (!is_data(bit / 8)) expect_elements_or_refusal(flipped(whole_, bit));
  }
}

TEST_P(DamagedPytorch, AnotherByteElsewhereReadsNothingElse) {
  for (std::size_t i = 0; i < whole_.size(); ++i) {
    if (is_data(i)) continue;
    for (const char value : {'\0', '\xff', '.', '(', 't', 'R', 'Q', 'h', 'q', 'b', 's', 'u', '\x85', 'N'}) {
      std::string damaged = whole_;
      damaged[i] = value;
      expect_elements_or_refusal(damaged);
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
