#pragma once

#include <memory>

#include "text/sentencepiece/sentencepiece_model.hpp"
#include "text/text_model.hpp"

namespace qcqa {

/// A tokenizer.model of SentencePiece (Kudo & Richardson 2018, arXiv 1808.06226). Ids are those of the SentencePiece
/// library, with which the interop tests compare. The library itself is left out on purpose: Debian's contains a copy
/// of protobuf whose symbols meet those of the protobuf that Debian's LibTorch loads, and the process dies on the first
/// model that either of them reads.
/// @throws Error(corrupt)
[[nodiscard]] std::unique_ptr<const TextModel> make_sentencepiece(SentencePieceModel model);

}  // namespace qcqa
