#include "qcqa/checkpoint/staged_output.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "support/expect_error.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;
using testing::expect_error;
using testing::TemporaryFolder;

std::size_t entries(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(StagedFolder, AppearsOnCommitOnly) {
  const TemporaryFolder parent;
  StagedFolder staged(parent / "out", Overwrite::refuse);
  write_file_atomically(staged.path() / "a", "1");
  fs::create_directory(staged.path() / "sub");
  EXPECT_FALSE(fs::exists(parent / "out"));
  EXPECT_EQ(staged.path().parent_path(), fs::canonical(parent.path()));
  EXPECT_TRUE(staged.path().filename().string().starts_with(".out.qcqa-"));
  staged.commit();
  EXPECT_EQ(read_text_file(parent / "out" / "a"), "1");
  EXPECT_EQ(entries(parent.path()), 1u);
}

TEST(StagedFolder, LeavesNothingBehindWithoutCommit) {
  const TemporaryFolder parent;
  {
    StagedFolder staged(parent / "out", Overwrite::refuse);
    write_file_atomically(staged.path() / "a", "1");
  }
  EXPECT_EQ(entries(parent.path()), 0u);
}

TEST(StagedFolder, AcceptsAnEmptyFolderAndATrailingSlash) {
  const TemporaryFolder parent;
  fs::create_directory(parent / "out");
  StagedFolder staged(parent / "out/", Overwrite::refuse);
  write_file_atomically(staged.path() / "a", "1");
  staged.commit();
  EXPECT_TRUE(fs::exists(parent / "out" / "a"));
  EXPECT_EQ(entries(parent.path()), 1u);
}

TEST(StagedFolder, RefusesAFolderWithFilesInIt) {
  const TemporaryFolder parent;
  fs::create_directory(parent / "out");
  parent.write("out/old", "x");
  expect_error(ErrorKind::invalid_argument, "new or empty folder",
               [&] { StagedFolder(parent / "out", Overwrite::refuse); });
  EXPECT_EQ(entries(parent.path()), 1u);
}

TEST(StagedFolder, RefusesAFile) {
  const TemporaryFolder parent;
  parent.write("out", "x");
  expect_error(ErrorKind::invalid_argument, "found a file", [&] { StagedFolder(parent / "out", Overwrite::refuse); });
}

TEST(StagedFolder, ReplacesWhenAsked) {
  const TemporaryFolder parent;
  fs::create_directory(parent / "out");
  parent.write("out/old", "x");
  StagedFolder staged(parent / "out", Overwrite::replace);
  write_file_atomically(staged.path() / "new", "1");
  EXPECT_TRUE(fs::exists(parent / "out" / "old"));
  staged.commit();
  EXPECT_FALSE(fs::exists(parent / "out" / "old"));
  EXPECT_TRUE(fs::exists(parent / "out" / "new"));
  EXPECT_EQ(entries(parent.path()), 1u);
}

TEST(StagedFolder, CommitDoesNotReplaceWhatAppearedMeanwhile) {
  const TemporaryFolder parent;
  {
    StagedFolder staged(parent / "out", Overwrite::refuse);
    fs::create_directory(parent / "out");
    parent.write("out/theirs", "x");
    expect_error(ErrorKind::io, "appeared there meanwhile", [&] { staged.commit(); });
  }
  EXPECT_EQ(read_text_file(parent / "out" / "theirs"), "x");
  EXPECT_EQ(entries(parent.path()), 1u);
}

TEST(StagedFolder, FollowsALinkToTheFolderItReplaces) {
  const TemporaryFolder parent;
  fs::create_directory(parent / "real");
  fs::create_directory_symlink("real", parent / "link");
  StagedFolder staged(parent / "link", Overwrite::refuse);
  write_file_atomically(staged.path() / "a", "1");
  staged.commit();
  EXPECT_TRUE(fs::is_symlink(parent / "link"));
  EXPECT_TRUE(fs::exists(parent / "real" / "a"));
}

TEST(StagedFolder, NeedsAnExistingParent) {
  const TemporaryFolder parent;
  expect_error(ErrorKind::io, "must exist", [&] { StagedFolder(parent / "no/out", Overwrite::refuse); });
}

TEST(StagedFolder, RefusesTheRoot) {
  expect_error(ErrorKind::invalid_argument, "named folder", [] { StagedFolder("/", Overwrite::replace); });
}

TEST(StagedFolder, PermissionsFollowTheUmask) {
  const TemporaryFolder parent;
  const mode_t before = ::umask(027);
  StagedFolder staged(parent / "out", Overwrite::refuse);
  write_file_atomically(staged.path() / "a", "1");
  ::umask(before);
  staged.commit();
  EXPECT_EQ(fs::status(parent / "out").permissions(), static_cast<fs::perms>(0750));
  EXPECT_EQ(fs::status(parent / "out" / "a").permissions(), static_cast<fs::perms>(0640));
}

TEST(WriteFileAtomically, CreatesAndReplaces) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a", "one");
  write_file_atomically(folder / "a", "two");
  EXPECT_EQ(read_text_file(folder / "a"), "two");
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(WriteFileAtomically, KeepsALinkAndWritesItsTarget) {
  const TemporaryFolder folder;
  folder.write("real", "x");
  fs::create_symlink("real", folder / "link");
  write_file_atomically(folder / "link", "new");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(read_text_file(folder / "real"), "new");
}

TEST(WriteFileAtomically, WritesThroughToADevice) {
  EXPECT_NO_THROW(write_file_atomically("/dev/null", "x"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST(WriteFileAtomically, ReportsAFullDisk) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  expect_error(ErrorKind::io, "disk is full; found 4 bytes still to place",
               [] { write_file_atomically("/dev/full", "text"); });
}

TEST(WriteFileAtomically, NeedsAnExistingFolder) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::io, "the folder to write in must exist",
               [&] { write_file_atomically(folder / "no/file", "x"); });
}

TEST(WriteFileAtomically, RefusesAFolder) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::io, "is a folder", [&] { write_file_atomically(folder.path(), "x"); });
}

TEST(ReadTextFile, ReportsMissingFilesAndFolders) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::not_found, "no such file", [&] { (void)read_text_file(folder / "none"); });
  expect_error(ErrorKind::io, "is a folder", [&] { (void)read_text_file(folder.path()); });
}

TEST(ReadTextFile, KeepsToItsLimit) {
  const TemporaryFolder folder;
  folder.write("a", "12345");
  EXPECT_EQ(read_text_file(folder / "a", 5), "12345");
  expect_error(ErrorKind::corrupt, "larger than 4 bytes", [&] { (void)read_text_file(folder / "a", 4); });
}

TEST(RequireFreeSpace, LooksAtTheNearestExistingFolder) {
  const TemporaryFolder folder;
  EXPECT_NO_THROW(require_free_space(folder / "not/yet/there", 1));
  expect_error(ErrorKind::io, "bytes of disk space are needed",
               [&] { require_free_space(folder / "not/yet/there", ~std::uintmax_t{0}); });
}

}  // namespace
}  // namespace qcqa
