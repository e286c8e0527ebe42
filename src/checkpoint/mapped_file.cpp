#include "checkpoint/mapped_file.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <cerrno>

#include "checkpoint/file_handle.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const FileHandle file = FileHandle::open_for_reading(path);
  struct stat status {};
  if (::fstat(file.descriptor(), &status) != 0) throw_system_error(path, "cannot be examined", errno);
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorKind::invalid_argument, path.string(), "must be a regular file",
                S_ISDIR(status.st_mode) ? "a folder" : "a device or pipe");
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return;  // mmap refuses empty files
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (address == MAP_FAILED) throw_system_error(path, "cannot be mapped into memory", errno);
  bytes_ = {static_cast<const std::byte*>(address), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace qcqa
