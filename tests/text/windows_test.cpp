#include "qcqa/text/windows.hpp"

#include <algorithm>
#include <limits>

#include "support/expect_error.hpp"

namespace qcqa::testing {
namespace {

constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();

TEST(Windows, PredictEveryTokenButTheFirstExactlyOnce) {
  for (std::size_t ids = 0; ids <= 40; ++ids) {
    for (std::size_t context = 2; context <= 12; ++context) {
      for (std::size_t stride = 0; stride < context; ++stride) {
        std::vector<Window> windows;
        const std::size_t targets = cut_windows(3, ids, {context, stride, LongDocuments::windows}, kAll, windows);
        EXPECT_EQ(targets, ids == 0 ? 0 : ids - 1);
        std::vector<int> predicted(ids, 0);
        for (const Window& window : windows) {
          EXPECT_EQ(window.document, 3u);
          EXPECT_LE(window.length, context);
          EXPECT_GE(window.first_target, 1u);
          EXPECT_GE(window.targets(), 1u);
          for (std::size_t i = window.first_target; i < window.length; ++i) ++predicted[window.begin + i];
        }
        for (std::size_t i = 1; i < ids; ++i) EXPECT_EQ(predicted[i], 1) << ids << " " << context << " " << stride;
      }
    }
  }
}

TEST(Windows, TruncateKeepsTheFirst) {
  std::vector<Window> windows;
  EXPECT_EQ(cut_windows(0, 100, {10, 0, LongDocuments::truncate}, kAll, windows), 9u);
  ASSERT_EQ(windows.size(), 1u);
  EXPECT_EQ(windows[0].length, 10u);
}

TEST(Windows, StopAtTheTargetsAskedFor) {
  std::vector<Window> windows;
  EXPECT_EQ(cut_windows(0, 100, {10, 4, LongDocuments::windows}, 12, windows), 12u);
  std::size_t targets = 0;
  for (const Window& window : windows) targets += window.targets();
  EXPECT_EQ(targets, 12u);
  EXPECT_EQ(windows.back().begin + windows.back().length, 13u);
}

TEST(Windows, RefuseContextAndStrideOutOfRange) {
  std::vector<Window> windows;
  expect_error(ErrorKind::invalid_argument, "--context: must be at least 2; found 1", [&] {
    cut_windows(0, 9, {1, 0, LongDocuments::windows}, kAll, windows);
  });
  expect_error(ErrorKind::invalid_argument, "--stride: must be from 1 to 7", [&] {
    cut_windows(0, 9, {8, 8, LongDocuments::windows}, kAll, windows);
  });
}

}  // namespace
}  // namespace qcqa::testing
