#include "support/nearest.hpp"

#include <gtest/gtest.h>
#include <array>

namespace qcqa {
namespace {

constexpr std::array<std::string_view, 4> kVerbs{"inspect", "search", "convert", "evaluate"};

TEST(EditDistance, CountsInsertionsDeletionsAndReplacements) {
  EXPECT_EQ(edit_distance("kitten", "sitting", 10), 3u);
  EXPECT_EQ(edit_distance("", "abc", 10), 3u);
  EXPECT_EQ(edit_distance("abc", "abc", 10), 0u);
}

TEST(EditDistance, StopsAboveTheLimit) {
  EXPECT_EQ(edit_distance("kitten", "sitting", 2), 3u);
  EXPECT_EQ(edit_distance("a", "abcdefgh", 2), 3u);
}

TEST(NearestName, FindsTheClosest) { EXPECT_EQ(nearest_name("serach", kVerbs), "search"); }

TEST(NearestName, SaysNothingWhenNoneIsClose) { EXPECT_EQ(nearest_name("zzzzzzzz", kVerbs), std::nullopt); }

TEST(NearestName, TakesTheFirstOfEquallyCloseNames) {
  constexpr std::array<std::string_view, 2> names{"layer.1", "layer.2"};
  EXPECT_EQ(nearest_name("layer.3", names), "layer.1");
}

TEST(DidYouMean, IsASentenceOrEmpty) {
  EXPECT_EQ(did_you_mean("convrt", kVerbs), "Did you mean \"convert\"?");
  EXPECT_EQ(did_you_mean("zzzzzzzz", kVerbs), "");
}

}  // namespace
}  // namespace qcqa
