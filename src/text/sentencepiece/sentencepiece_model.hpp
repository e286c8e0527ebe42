#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "qcqa/text/tokenizer.hpp"
#include "text/json/byte_trie.hpp"
#include "text/json/string_map.hpp"

namespace qcqa {

/// What SentencePiece writes for a space.
inline constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";

enum class PieceKind { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

struct SentencePieceEntry {
  std::string text;
  float score = 0;
  PieceKind kind = PieceKind::normal;
};

/// The contents of a tokenizer.model: a protocol buffer whose fields sentencepiece_model.proto of the SentencePiece
/// project defines. Defaults are that file's.
struct SentencePieceModel {
  enum class Algorithm { unigram = 1, bpe = 2 };

  std::string where;
  std::vector<SentencePieceEntry> pieces;
  Algorithm algorithm = Algorithm::unigram;
  bool byte_fallback = false;
  std::string bos_piece = "<s>", eos_piece = "</s>", unknown_piece = "<unk>";
  /// Ids as the trainer was told them; negative: there is none.
  std::int32_t bos_id = 1, eos_id = 2, unknown_id = 0;
  std::string unknown_surface = " \xE2\x81\x87 ";
  std::string character_map;  ///< compiled normalisation rules; may be empty
  bool add_dummy_prefix = true;
  bool remove_extra_spaces = true;
  bool escape_spaces = true;

  // Made from the above:
  StringMap<TokenId> texts;     ///< what encoding may find in a text: normal, user defined and unused pieces
  StringMap<TokenId> reserved;  ///< all others
  ByteTrie user_defined;        ///< these are found in the text before anything else
  std::vector<TokenId> bytes;   ///< byte -> id, with byte_fallback
  TokenId unknown = -1;

  [[nodiscard]] const SentencePieceEntry& at(TokenId id) const { return pieces[static_cast<std::size_t>(id)]; }
  /// The id of a piece; `unknown` when there is none.
  [[nodiscard]] TokenId find(std::string_view piece) const;
  /// Bytes of the symbol at `at`: a user-defined one, or else one character.
  [[nodiscard]] std::size_t symbol_length(std::string_view text, std::size_t at, bool& is_user_defined) const;
};

/// @throws Error(not_found, io, corrupt, unsupported)
[[nodiscard]] SentencePieceModel read_sentencepiece_model(const std::filesystem::path& file);

}  // namespace qcqa
