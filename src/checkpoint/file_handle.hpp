#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

namespace qcqa {

/// The Error(io) for a failed system call (Error(not_found) for ENOENT); a full disk gets its own
/// wording.
/// @param action        "cannot be opened", "cannot be written", ...
/// @param bytes_needed  mentioned when the disk is full; 0 = unknown
[[noreturn]] void throw_system_error(const std::filesystem::path& path, std::string_view action, int error,
                                     std::uint64_t bytes_needed = 0);

/// An open file descriptor with complete reads and writes (short ones and EINTR are continued).
class FileHandle {
 public:
  /// @throws Error(not_found, io)
  [[nodiscard]] static FileHandle open_for_reading(const std::filesystem::path& path);
  /// A new file, permissions as the umask has it; one of that name must not exist. @throws
  /// Error(io)
  [[nodiscard]] static FileHandle create(const std::filesystem::path& path);
  /// Writes to what exists: a device or a pipe. @throws Error(io)
  [[nodiscard]] static FileHandle open_for_writing(const std::filesystem::path& path);

  FileHandle(FileHandle&& other) noexcept;
  FileHandle& operator=(FileHandle&&) = delete;
  ~FileHandle();

  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

  /// At the current position. @throws Error(io)
  void append(std::string_view text) const;
  /// At a position; threads may write different places at once. @throws Error(io)
  void write_at(std::span<const std::byte> bytes, std::uint64_t offset) const;
  /// Sets the size and, where the file system can, takes the disk space now. @throws Error(io)
  void reserve(std::uint64_t bytes) const;
  /// Copies within the kernel; returns how many bytes it could do before the file systems said no
  /// (perhaps 0).
  /// @throws Error(io) on a full or broken disk
  [[nodiscard]] std::uint64_t copy_from(const FileHandle& source, std::uint64_t source_offset, std::uint64_t offset,
                                        std::uint64_t bytes) const;
  /// Asks for the range to be written to disk soon. Never waits for it, never fails.
  void start_flush(std::uint64_t offset, std::uint64_t bytes) const noexcept;
  /// @throws Error(io)
  void flush() const;

 private:
  FileHandle(int descriptor, std::filesystem::path path) : descriptor_(descriptor), path_(std::move(path)) {}
  int descriptor_;
  std::filesystem::path path_;
};

/// Flushes a folder, so that names created or renamed in it survive a power cut.
void flush_folder(const std::filesystem::path& folder);

}  // namespace qcqa
