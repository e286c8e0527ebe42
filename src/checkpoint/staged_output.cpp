#include "qcqa/checkpoint/staged_output.hpp"

#include <sys/stat.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <cstdio>
#include <random>
#include <string>

#include "checkpoint/file_handle.hpp"
#include "checkpoint/mapped_file.hpp"
#include "qcqa/support/error.hpp"

namespace fs = std::filesystem;

namespace qcqa {
namespace {

constexpr std::size_t kTemporaryLetters = 6;

std::string temporary_stem(const fs::path& path) {
  return std::string(".").append(path.filename().string(), 0, 200).append(".qcqa-");
}

/// ".NAME.qcqa-XXXXXX" beside `path`. Not mkdtemp/mkstemp: they fix the permissions to the owner
/// alone, and the umask that should decide cannot be read without changing it under other threads.
fs::path temporary_sibling(const fs::path& path) {
  static constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device entropy;
  std::string name = temporary_stem(path);
  for (std::size_t i = 0; i < kTemporaryLetters; ++i) name += kLetters[entropy() % kLetters.size()];
  return path.parent_path() / name;
}

/// Absolute, links resolved, without a trailing slash: a name whose parent is the folder to rename
/// in.
fs::path resolved(const fs::path& path) {
  fs::path clean = fs::absolute(path).lexically_normal();
  if (!clean.has_filename()) clean = clean.parent_path();
  std::error_code error;
  const fs::path real = fs::weakly_canonical(clean, error);
  return error ? clean : real;
}

bool is_mount_point(const fs::path& folder) {
  struct stat inner {
  }, outer{};
  return ::stat(folder.c_str(), &inner) == 0 && ::stat(folder.parent_path().c_str(), &outer) == 0 &&
         inner.st_dev != outer.st_dev;
}

void require_usable(const fs::path& target, Overwrite overwrite) {
  const std::string where = target.string();
  if (!target.has_filename()) throw Error(ErrorKind::invalid_argument, where, "the output must be a named folder");
  std::error_code error;
  const fs::file_status status = fs::status(target, error);
  if (!fs::exists(status)) return;
  if (fs::is_directory(status) && is_mount_point(target)) {
    throw Error(ErrorKind::invalid_argument, where, "the output must not be a mount point (it is renamed into place)",
                {}, "Give a folder inside it.");
  }
  if (overwrite == Overwrite::replace) return;
  if (!fs::is_directory(status)) {
    throw Error(ErrorKind::invalid_argument, where, "the output must be a new or empty folder", "a file",
                "Choose another name.");
  }
  if (!fs::is_empty(target, error) || error) {
    throw Error(ErrorKind::invalid_argument, where, "the output must be a new or empty folder",
                error ? "one that cannot be read" : "a folder with files in it",
                "Choose another name, or allow replacing it.");
  }
}

fs::path create_staging(const fs::path& target) {
  const fs::path parent = target.parent_path();
  std::error_code error;
  if (!fs::is_directory(parent, error)) {
    throw Error(ErrorKind::io, parent.string(), "the folder that is to hold the output must exist", {},
                "Create it first.");
  }
  for (;;) {
    const fs::path staging = temporary_sibling(target);
    if (::mkdir(staging.c_str(), 0777) == 0) return staging;
    if (errno != EEXIST) throw_system_error(parent, "the folder that is to hold the output is not writable", errno);
  }
}

void flush_tree(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_symlink()) continue;
    if (entry.is_directory()) flush_tree(entry.path());
    if (entry.is_regular_file()) FileHandle::open_for_reading(entry.path()).flush();
  }
  flush_folder(folder);
}

[[noreturn]] void throw_rename_error(const fs::path& target, int error) {
  if (error == ENOTEMPTY || error == EEXIST || error == ENOTDIR) {
    throw Error(ErrorKind::io, target.string(), "the output must be a new or empty folder",
                "something that appeared there meanwhile", "Choose another name.");
  }
  throw_system_error(target, "the finished folder cannot be renamed to this name", error);
}

}  // namespace

bool is_new_or_empty(const fs::path& target) noexcept {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(target, error);
  return !fs::exists(status) || (fs::is_directory(target, error) && fs::is_empty(target, error));
}

StagedFolder::StagedFolder(const fs::path& target, Overwrite overwrite)
    : target_(resolved(target)), overwrite_(overwrite) {
  require_usable(target_, overwrite_);
  staging_ = create_staging(target_);
}

StagedFolder::~StagedFolder() {
  if (committed_) return;
  std::error_code ignored;  // a destructor has nobody to tell
  fs::remove_all(staging_, ignored);
}

void StagedFolder::commit() {
  flush_tree(staging_);
  std::error_code error;
  const bool replaces = overwrite_ == Overwrite::replace && !is_new_or_empty(target_);
  const fs::path aside = replaces ? temporary_sibling(target_) : fs::path();
  if (replaces && std::rename(target_.c_str(), aside.c_str()) != 0) throw_rename_error(target_, errno);
  if (std::rename(staging_.c_str(), target_.c_str()) != 0) {
    const int reason = errno;
    if (replaces) (void)std::rename(aside.c_str(), target_.c_str());
    throw_rename_error(target_, reason);
  }
  committed_ = true;
  flush_folder(target_.parent_path());
  if (!replaces) return;
  fs::remove_all(aside, error);
  if (error) {
    throw Error(ErrorKind::io, aside.string(), "the replaced folder cannot be removed", error.message(),
                "The output is complete; remove this folder by hand.");
  }
}

void remove_at_once(const fs::path& folder) noexcept {
  std::error_code ignored;
  const fs::path target = resolved(folder);
  const fs::path aside = temporary_sibling(target);
  fs::rename(target, aside, ignored);
  fs::remove_all(ignored ? target : aside, ignored);
}

void remove_abandoned(const fs::path& target) noexcept {
  std::error_code ignored;
  const fs::path output = resolved(target);
  const std::string stem = temporary_stem(output);
  for (fs::directory_iterator entry(output.parent_path(), ignored), end; entry != end; entry.increment(ignored)) {
    const std::string name = entry->path().filename().string();
    if (name.size() == stem.size() + kTemporaryLetters && name.starts_with(stem))
      fs::remove_all(entry->path(), ignored);
  }
}

void require_folder_for(const fs::path& file) {
  std::error_code error;
  const fs::path parent = file.has_parent_path() ? file.parent_path() : fs::path(".");
  if (fs::is_directory(parent, error)) return;
  throw Error(ErrorKind::io, parent.string(), "the folder to write in must exist", {}, "Create it first.");
}

void write_file_atomically(const fs::path& path, std::string_view content) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_directory(status)) throw Error(ErrorKind::io, path.string(), "is a folder, not a file");
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    FileHandle::open_for_writing(path).append(content);  // a device or pipe (/dev/stdout) is written, not replaced
    return;
  }
  const fs::path target = resolved(path);
  const fs::path temporary = temporary_sibling(target);
  const FileHandle file = FileHandle::create(temporary);
  try {
    file.append(content);
    file.flush();
    if (std::rename(temporary.c_str(), target.c_str()) != 0) throw_system_error(path, "cannot be replaced", errno);
  } catch (...) {
    (void)::unlink(temporary.c_str());
    throw;
  }
  flush_folder(target.parent_path());
}

std::string read_text_file(const fs::path& path, std::size_t max_bytes) {
  const FileHandle file = FileHandle::open_for_reading(path);
  struct stat status {};
  if (::fstat(file.descriptor(), &status) != 0) throw_system_error(path, "cannot be examined", errno);
  if (S_ISDIR(status.st_mode)) throw Error(ErrorKind::io, path.string(), "is a folder, not a file");
  std::string text;
  std::array<char, 1 << 16> buffer;
  for (;;) {
    const ssize_t got = ::read(file.descriptor(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_system_error(path, "cannot be read", errno);
    if (got == 0) return text;
    if (static_cast<std::size_t>(got) > max_bytes - text.size()) {
      throw Error(ErrorKind::corrupt, path.string(), "must not be larger than " + std::to_string(max_bytes) + " bytes");
    }
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

void require_free_space(const fs::path& folder, std::uintmax_t bytes) {
  fs::path existing = fs::absolute(folder).lexically_normal();
  std::error_code error;
  while (!fs::exists(existing, error) && existing.has_relative_path()) existing = existing.parent_path();
  const fs::space_info space = fs::space(existing, error);
  if (error) throw Error(ErrorKind::io, existing.string(), "the free space cannot be read", error.message());
  if (space.available >= bytes) return;
  throw Error(ErrorKind::io, folder.string(), std::to_string(bytes) + " bytes of disk space are needed",
              std::to_string(space.available) + " bytes free", "Free some space or choose another output folder.");
}

}  // namespace qcqa
