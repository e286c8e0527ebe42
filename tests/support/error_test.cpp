#include "qcqa/support/error.hpp"

#include <gtest/gtest.h>

namespace qcqa {
namespace {

TEST(Error, PutsWhereRuleFoundAndFixOnOneLine) {
  const Error error(ErrorKind::corrupt, "a.safetensors", "a rule", "a thing", "Do this.");
  EXPECT_STREQ(error.what(), "a.safetensors: a rule; found a thing. Do this.");
  EXPECT_EQ(error.kind(), ErrorKind::corrupt);
}

TEST(Error, LeavesOutWhatIsEmpty) {
  EXPECT_STREQ(Error(ErrorKind::io, "x", "cannot be read").what(), "x: cannot be read.");
}

TEST(Error, KeepsControlCharactersOfFilesOutOfTheTerminal) {
  EXPECT_STREQ(Error(ErrorKind::corrupt, "a\n\x1b[31mb", "rule").what(), "a??[31mb: rule.");
}

}  // namespace
}  // namespace qcqa
