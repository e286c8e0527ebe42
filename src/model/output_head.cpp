#include "qcqa/model/output_head.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

const TensorView* stored_head(const Model& model) {
  return model.checkpoint().find(model.architecture().head.tensor + ".weight");
}

bool ties(const Model& model) { return model.settings().value(model.architecture().head.tied); }

bool same_values(const TensorView& a, const TensorView& b) {
  if (a.dtype != b.dtype || a.shape != b.shape) return false;
  if (!a.derived && !b.derived && a.stored.data() == b.stored.data()) return true;
  static constexpr std::uint64_t kPiece = 1 << 20;  // elements
  std::vector<std::byte> buffer_a, buffer_b;
  const auto count = static_cast<std::uint64_t>(a.element_count());
  for (std::uint64_t first = 0; first < count; first += kPiece) {
    const std::uint64_t size = std::min(kPiece, count - first);
    if (!std::ranges::equal(a.all().part(first, size).bytes(buffer_a), b.all().part(first, size).bytes(buffer_b)))
      return false;
  }
  return true;
}

}  // namespace

void require_output_head(const Model& model) {
  if (stored_head(model) || ties(model)) return;
  throw Error(ErrorKind::unsupported, model.path().string(),
              "needs the tensor " + model.architecture().head.tensor + ".weight, or tied embeddings", "neither",
              "A base model or a classifier has no logits: convert it with --layout gqa or expanded.");
}

OutputHead output_head(const Model& model) {
  require_output_head(model);
  const HeadDescription& head = model.architecture().head;
  const TensorView& embedding = model.checkpoint().at(model.architecture().embedding + ".weight");
  const TensorView* const stored = stored_head(model);
  OutputHead found{.weight = &embedding, .bias = nullptr, .tied = true};
  if (stored && !(ties(model) && same_values(*stored, embedding)))
    found = {.weight = stored, .bias = nullptr, .tied = false};
  if (model.settings().value(head.bias)) found.bias = &model.checkpoint().at(head.tensor + ".bias");
  return found;
}

}  // namespace qcqa
