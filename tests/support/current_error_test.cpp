#include "qcqa/support/current_error.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;
using namespace testing;

Error error_of(const auto& body) {
  try {
    body();
  } catch (...) {
    return current_error();
  }
  return {ErrorKind::internal, "test", "nothing was thrown"};
}

void expect(const Error& error, ErrorKind kind, const std::string& begin) {
  EXPECT_EQ(error.kind(), kind) << error.what();
  EXPECT_TRUE(std::string(error.what()).starts_with(begin)) << error.what();
  EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
}

TEST(CurrentError, OursStaysAsItIs) {
  const Error error = error_of([] { throw Error(ErrorKind::corrupt, "file", "must be whole", "half", "Get it."); });
  expect(error, ErrorKind::corrupt, "file: must be whole; found half. Get it.");
}

TEST(CurrentError, MemoryOfTheHost) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer ends the program instead";
#endif
  const Error error = error_of([] { (void)at::empty({std::int64_t{1} << 58}, at::kFloat); });
  expect(error, ErrorKind::io,
         "LibTorch: the device must have memory for the computation; found DefaultCPUAllocator: can't allocate memory");
  EXPECT_EQ(std::string(error.what()).find("--device cpu"), std::string::npos);
}

TEST(CurrentError, MemoryOfADevice) {
  const Error error =
      error_of([] { TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory. Tried to allocate 2.00 GiB"); });
  expect(error, ErrorKind::io,
         "LibTorch: the device must have memory for the computation; found CUDA out of memory. Tried to allocate 2.00 "
         "GiB. Use --device cpu.");
}

TEST(CurrentError, ADeviceThatFails) {
  const Error error = error_of(
      [] { TORCH_CHECK(false, "CUDA error: unspecified launch failure\nCUDA kernel errors might be reported later"); });
  expect(error, ErrorKind::io,
         "LibTorch: the device must be able to do the computation; found CUDA error: unspecified launch failure. Use "
         "--device cpu.");
}

TEST(CurrentError, AnOperationThatLibTorchLacks) {
  expect(error_of([] { TORCH_CHECK_NOT_IMPLEMENTED(false, "Could not run 'aten::mm' there"); }), ErrorKind::unsupported,
         "LibTorch: must have the operation for the device; found Could not run 'aten::mm' there");
}

TEST(CurrentError, WrongUseOfLibTorchIsABugOfOurs) {
  const Error error = error_of([] { (void)at::mm(at::ones({2, 3}), at::ones({2, 3})); });
  expect(error, ErrorKind::internal, "LibTorch: could not do the computation; found ");
  // LibTorch 2 puts the operation's name before it.
  EXPECT_NE(std::string(error.what()).find("mat1 and mat2 shapes cannot be multiplied"), std::string::npos)
      << error.what();
}

TEST(CurrentError, LinksInACircleAreWrongInput) {
  const TemporaryFolder folder;
  fs::create_symlink("b", folder / "a");
  fs::create_symlink("a", folder / "b");
  expect(error_of([&] { (void)fs::exists(folder / "a"); }), ErrorKind::not_found,
         (folder / "a").string() + ": a link must lead to a file; found links that lead in a circle (to b).");
  expect(error_of([&] { (void)fs::file_size(folder / "a/below"); }), ErrorKind::not_found,
         (folder / "a").string() + "/below: a link must lead to a file; found links that lead in a circle.");
}

TEST(CurrentError, WhatTheFileSystemLacksIsNamed) {
  const TemporaryFolder folder;
  expect(error_of([&] { (void)fs::file_size(folder / "gone"); }), ErrorKind::not_found,
         (folder / "gone").string() + ": no such file or folder.");
  fs::create_symlink("gone", folder / "link");
  expect(error_of([&] { (void)fs::file_size(folder / "link"); }), ErrorKind::not_found,
         (folder / "link").string() + ": a link must lead to a file; found a link to gone, which is not there.");
}

TEST(CurrentError, PermissionsAreTheUsers) {
  const std::error_code denied(EACCES, std::generic_category());
  expect(error_of([&] { throw fs::filesystem_error("status", "some/file", denied); }), ErrorKind::invalid_argument,
         "some/file: must be readable; found Permission denied.");
}

TEST(CurrentError, OtherFailuresOfTheSystemAreItsOwn) {
  const std::error_code broken(EIO, std::generic_category());
  expect(error_of([&] { throw fs::filesystem_error("status", "some/file", broken); }), ErrorKind::io,
         "some/file: cannot be examined; found Input/output error.");
  const std::error_code busy(EAGAIN, std::generic_category());
  expect(error_of([&] { throw std::system_error(busy, "thread"); }), ErrorKind::io,
         "operating system: could not do what was asked for; found thread: Resource temporarily unavailable.");
}

TEST(CurrentError, Memory) {
  expect(error_of([] { throw std::bad_alloc(); }), ErrorKind::io, "out of memory.");
}

TEST(CurrentError, WhatNobodyExpectsIsABug) {
  expect(error_of([] { throw std::runtime_error("odd\nand more"); }), ErrorKind::internal, "unexpected: odd.");
  expect(error_of([] { throw 5; }), ErrorKind::internal, "unexpected: an exception of no known type.");
}

}  // namespace
}  // namespace qcqa
