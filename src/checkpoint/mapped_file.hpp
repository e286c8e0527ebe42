#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace qcqa {

/// A regular file mapped read-only for as long as this object lives. Nothing is read until it is
/// looked at. Somebody who shortens the file meanwhile kills the process (SIGBUS): that is the
/// price of not copying it.
class MappedFile {
 public:
  /// @throws Error(not_found, io)
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

}  // namespace qcqa
