#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>

namespace qcqa {

/// One text, and where it came from ("stories.jsonl, line 7").
struct Document {
  std::string name;
  std::string text;
  bool is_cut = false;  ///< more of it was there than wanted
};

struct DocumentLimits {
  std::string field = "text";                 ///< member of a .jsonl line that holds the text
  std::size_t bytes = std::size_t{64} << 20;  ///< a longer document is an error: tokenizing needs 100 times its size
  /// A longer document is cut there, at a character; so a little of a large file costs little.
  std::size_t wanted = std::numeric_limits<std::size_t>::max() - 1;
};

/// Hands the documents of `path` to `take`, in order, until it returns false:
/// - `.jsonl`: one document per line, an object with the text; blank lines are skipped,
/// - a folder: one document per file, sorted by name; hidden files and folders in it are skipped,
/// - `.txt`, `.md` or no suffix: the file is one document; a byte order mark at its beginning is not part of it.
/// @throws Error(not_found, io), Error(corrupt) naming the line or byte, Error(unsupported) for other suffixes
void for_each_document(const std::filesystem::path& path, const DocumentLimits& limits,
                       const std::function<bool(Document&&)>& take);

}  // namespace qcqa
