#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "qcqa/text/tokenizer.hpp"

namespace qcqa {

/// Token ids of one document, with BOS in front where the BOS rule asks for it.
struct TokenDocument {
  std::string name;
  std::vector<TokenId> ids;
};

/// What happens to a document that is longer than the context.
enum class LongDocuments {
  windows,   ///< it is cut into windows that cover all of it
  truncate,  ///< its first window is kept
};

struct WindowOptions {
  std::size_t context = 2048;  ///< token ids of a window, >= 2; at most what the model was trained on
  /// From the begin of one window to the begin of the next, in [1, context - 1]; 0 means context - 1. Smaller strides
  /// give every token more context and cost context / stride times the work.
  std::size_t stride = 0;
  LongDocuments long_documents = LongDocuments::windows;
};

/// Ids [begin, begin + length) of a document, a sequence to run a model on. The ids at places [first_target, length) of
/// the window are to be predicted, each from those before it. Windows overlap by at least one id, so every id of a
/// document but its first is a target exactly once. BOS stands in a document's first window only: a later window begins
/// in the middle of the text, and the model sees it so.
struct Window {
  std::size_t document = 0;
  std::size_t begin = 0;
  std::size_t length = 0;
  std::size_t first_target = 1;

  [[nodiscard]] std::size_t targets() const noexcept { return length - first_target; }
};

/// Appends the windows of a document with `ids` ids; at most `max_targets` targets. Returns how many targets it added.
/// @throws Error(invalid_argument) for a context or stride out of range
std::size_t cut_windows(std::size_t document, std::size_t ids, const WindowOptions& options, std::size_t max_targets,
                        std::vector<Window>& windows);

}  // namespace qcqa
