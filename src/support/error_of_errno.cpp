#include "support/error_of_errno.hpp"

#include <cerrno>
#include <string>
#include <system_error>

namespace qcqa {
namespace {

Error link_error(const std::filesystem::path& path, std::string_view found, std::string_view fix) {
  return {ErrorKind::not_found, path.string(), "a link must lead to a file", found, fix};
}

}  // namespace

bool disk_is_full(int error) noexcept { return error == ENOSPC || error == EDQUOT; }

Error error_of_errno(const std::filesystem::path& path, std::string_view action, int error,
                     std::uint64_t bytes_needed) {
  if (disk_is_full(error)) {
    const std::string needed = bytes_needed == 0 ? "" : std::to_string(bytes_needed) + " bytes still to place";
    return {ErrorKind::io, path.string(), error == EDQUOT ? "disk quota is used up" : "disk is full", needed,
            "Free some space or choose another output folder."};
  }
  std::error_code ignored;
  const bool is_link = std::filesystem::is_symlink(path, ignored);
  const std::string target = is_link ? std::filesystem::read_symlink(path, ignored).string() : "";
  if (error == ELOOP) {  // of the file itself, or of a folder on the way to it
    return link_error(path, "links that lead in a circle" + (is_link ? " (to " + target + ")" : ""),
                      "Put the file itself there.");
  }
  const bool is_missing = error == ENOENT || error == ENOTDIR;
  // A link is listed like a file, so that "no such file" would seem wrong.
  if (is_missing && is_link) {
    return link_error(path, "a link to " + target + ", which is not there",
                      "Download the file again, or copy the folder with what its links lead to (cp -RL).");
  }
  if (is_missing) return {ErrorKind::not_found, path.string(), "no such file or folder"};
  return {ErrorKind::io, path.string(), action, std::generic_category().message(error)};
}

Error unreadable(const std::filesystem::path& path) {
  return {ErrorKind::invalid_argument, path.string(), "must be readable", std::generic_category().message(EACCES),
          "Change its permissions."};
}

}  // namespace qcqa
