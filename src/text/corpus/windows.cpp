#include "qcqa/text/windows.hpp"

#include <algorithm>

#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

std::size_t checked_stride(const WindowOptions& options) {
  if (options.context < 2) {
    throw Error(ErrorKind::invalid_argument, "--context", "must be at least 2", std::to_string(options.context));
  }
  if (options.stride >= options.context) {
    throw Error(ErrorKind::invalid_argument, "--stride",
                "must be from 1 to " + std::to_string(options.context - 1) + ", one less than the context",
                std::to_string(options.stride));
  }
  return options.stride == 0 ? options.context - 1 : options.stride;
}

}  // namespace

std::size_t cut_windows(std::size_t document, std::size_t ids, const WindowOptions& options, std::size_t max_targets,
                        std::vector<Window>& windows) {
  const std::size_t stride = checked_stride(options);
  if (ids == 0 || max_targets == 0) return 0;
  if (options.long_documents == LongDocuments::truncate) ids = std::min(ids, options.context);
  const std::size_t wanted = std::min(ids - 1, max_targets);
  ids = wanted + 1;
  std::size_t predicted = 1;  // ids before this place are targets of a window, or the first id
  for (std::size_t begin = 0; predicted < ids; begin += stride) {
    const std::size_t end = std::min(begin + options.context, ids);
    windows.push_back({document, begin, end - begin, predicted - begin});
    predicted = end;
  }
  return wanted;
}

}  // namespace qcqa
