#include "checkpoint/file_handle.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <string>
#include <utility>

#include "qcqa/support/error.hpp"
#include "support/error_of_errno.hpp"

namespace qcqa {
namespace {

int open_retrying(const std::filesystem::path& path, int flags) noexcept {
  for (;;) {
    const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
    if (descriptor >= 0 || errno != EINTR) return descriptor;
  }
}

}  // namespace

void throw_system_error(const std::filesystem::path& path, std::string_view action, int error,
                        std::uint64_t bytes_needed) {
  throw error_of_errno(path, action, error, bytes_needed);
}

FileHandle FileHandle::open_for_reading(const std::filesystem::path& path) {
  // O_NONBLOCK: a named pipe must not hang the program; it has no effect on regular files.
  const int descriptor = open_retrying(path, O_RDONLY | O_NONBLOCK);
  if (descriptor >= 0) return {descriptor, path};
  if (errno == EACCES) throw unreadable(path);
  throw_system_error(path, "cannot be opened", errno);
}

FileHandle FileHandle::create(const std::filesystem::path& path) {
  const int descriptor = open_retrying(path, O_RDWR | O_CREAT | O_EXCL);
  if (descriptor < 0 && (errno == ENOENT || errno == ENOTDIR)) {
    throw Error(ErrorKind::io, path.parent_path().string(), "the folder to write in must exist", {},
                "Create it first.");
  }
  if (descriptor < 0) throw_system_error(path, "cannot be created", errno);
  return {descriptor, path};
}

FileHandle FileHandle::open_for_writing(const std::filesystem::path& path) {
  const int descriptor = open_retrying(path, O_WRONLY);
  if (descriptor < 0) throw_system_error(path, "cannot be opened for writing", errno);
  return {descriptor, path};
}

FileHandle::FileHandle(FileHandle&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}

FileHandle::~FileHandle() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void FileHandle::append(std::string_view text) const {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor_, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_system_error(path_, "cannot be written", errno, text.size());
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void FileHandle::write_at(std::span<const std::byte> bytes, std::uint64_t offset) const {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_system_error(path_, "cannot be written", errno, bytes.size());
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
}

void FileHandle::reserve(std::uint64_t bytes) const {
  if (bytes == 0) return;
  // Not posix_fallocate: where the file system cannot reserve, it writes to every block instead.
  int result = 0;
  do {
    result = ::fallocate(descriptor_, 0, 0, static_cast<off_t>(bytes));
  } while (result != 0 && errno == EINTR);
  if (result == 0) return;
  if (disk_is_full(errno) || errno == EFBIG) throw_system_error(path_, "cannot be enlarged", errno, bytes);
  if (::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) {
    throw_system_error(path_, "cannot be enlarged", errno, bytes);
  }
}

std::uint64_t FileHandle::copy_from(const FileHandle& source, std::uint64_t source_offset, std::uint64_t offset,
                                    std::uint64_t bytes) const {
  auto from = static_cast<off64_t>(source_offset);
  auto to = static_cast<off64_t>(offset);
  std::uint64_t done = 0;
  while (done < bytes) {
    const ssize_t copied = ::copy_file_range(source.descriptor_, &from, descriptor_, &to, bytes - done, 0);
    if (copied < 0 && errno == EINTR) continue;
    if (copied < 0 && (disk_is_full(errno) || errno == EFBIG || errno == EIO)) {
      throw_system_error(path_, "cannot be written", errno, bytes - done);
    }
    if (copied <= 0) break;  // different file systems, an old kernel, ...: the caller does the rest
    done += static_cast<std::uint64_t>(copied);
  }
  return done;
}

void FileHandle::start_flush(std::uint64_t offset, std::uint64_t bytes) const noexcept {
  (void)::sync_file_range(descriptor_, static_cast<off64_t>(offset), static_cast<off64_t>(bytes),
                          SYNC_FILE_RANGE_WRITE);
}

void FileHandle::flush() const {
  // EINVAL: a device or pipe, which has nothing to flush.
  if (::fsync(descriptor_) != 0 && errno != EINVAL) throw_system_error(path_, "cannot be flushed to disk", errno);
}

void flush_folder(const std::filesystem::path& folder) {
  const FileHandle handle = FileHandle::open_for_reading(folder);
  // Some network and container file systems cannot flush folders; then nothing more can be done.
  (void)::fsync(handle.descriptor());
}

}  // namespace qcqa
