#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace qcqa {

enum class Overwrite { refuse, replace };

/// A folder that appears whole or not at all: files are written into a hidden sibling folder, which commit() flushes
/// and renames into place. Without commit() the destructor removes it, so an error or Ctrl-C leaves nothing behind.
class StagedFolder {
 public:
  /// @throws Error(invalid_argument) when `target` exists and is not an empty folder and overwrite is refuse;
  ///         Error(io) when the parent does not exist or is not writable
  StagedFolder(const std::filesystem::path& target, Overwrite overwrite);
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;
  ~StagedFolder();

  /// Where to write.
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return staging_; }

  /// Flushes every file and renames. With Overwrite::replace the old folder is moved aside first and removed last;
  /// it is put back when the rename fails.
  void commit();

 private:
  std::filesystem::path target_, staging_;
  Overwrite overwrite_;
  bool committed_ = false;
};

/// Whether nothing would be lost here: nothing of this name, or an empty folder.
[[nodiscard]] bool is_new_or_empty(const std::filesystem::path& target) noexcept;

/// Removes a folder that is there whole or not at all: it is renamed to a hidden sibling first, which
/// remove_abandoned() knows.
void remove_at_once(const std::filesystem::path& folder) noexcept;

/// Removes what writers of this folder left beside it when they were killed. Only for callers who know that no other
/// process is writing it.
void remove_abandoned(const std::filesystem::path& target) noexcept;

/// Writes a file whole or not at all (temporary sibling, fsync, rename); replaces an existing file.
/// @throws Error(io)
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

/// Whether write_file_atomically() has a folder to write this file in: asked before work whose result it is to hold.
/// @throws Error(io)
void require_folder_for(const std::filesystem::path& file);

/// The whole file as a string. @throws Error(not_found, io); Error(corrupt) when larger than max_bytes
[[nodiscard]] std::string read_text_file(const std::filesystem::path& path, std::size_t max_bytes = 256u << 20);

/// Throws Error(io) unless the file system of `folder` (or its nearest existing parent) has this many bytes free.
void require_free_space(const std::filesystem::path& folder, std::uintmax_t bytes);

}  // namespace qcqa
