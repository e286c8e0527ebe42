#include "text/vocabulary_files.hpp"

#include <algorithm>
#include <tuple>

#include "checkpoint/json_file.hpp"
#include "support/advice.hpp"
#include "support/in_quotes.hpp"
#include "text/base64.hpp"
#include "text/json/regex.hpp"
#include "text/unicode/unicode.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json replace_string(std::string_view what, std::string_view by) {
  return {{"type", "Replace"}, {"pattern", {{"String", what}}}, {"content", by}};
}

json replace_regex(std::string_view what, std::string_view by) {
  return {{"type", "Replace"}, {"pattern", {{"Regex", what}}}, {"content", by}};
}

json sequence(const char* member, json steps) { return {{"type", "Sequence"}, {member, std::move(steps)}}; }

/// Calls `visit(left, right)` for every way to cut a token in two, the shortest left part first.
template <typename Visit>
void for_each_cut(std::string_view token, Visit&& visit) {
  for (std::size_t at = utf8_length(token[0]); at < token.size(); at += utf8_length(token[at])) {
    visit(token.substr(0, at), token.substr(at));
  }
}

/// Pieces as added tokens rename them. A name that another piece keeps is not taken.
std::vector<std::string> names_of(const SentencePieceModel& pieces, const std::vector<AddedToken>& added) {
  std::vector<std::string> names;
  for (const SentencePieceEntry& piece : pieces.pieces) names.push_back(piece.text);
  StringMap<bool> kept;
  for (const std::string& name : names) kept.emplace(name, true);
  const auto in_range = [&](const AddedToken& token) {
    return token.id >= 0 && static_cast<std::size_t>(token.id) < names.size();
  };
  for (const AddedToken& token : added) {
    if (in_range(token)) kept.erase(pieces.at(token.id).text);
  }
  for (const AddedToken& token : added) {
    if (in_range(token) && !kept.contains(token.content)) names[static_cast<std::size_t>(token.id)] = token.content;
  }
  return names;
}

/// Merges of normal pieces, by falling score.
json ranked_merges(const SentencePieceModel& pieces, const std::vector<std::string>& names) {
  StringMap<TokenId> normal;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (pieces.pieces[i].kind == PieceKind::normal) normal.insert_or_assign(names[i], static_cast<TokenId>(i));
  }
  std::vector<std::tuple<float, TokenId, std::string, std::string>> ranked;
  for (const auto& [token, id] : normal) {
    for_each_cut(token, [&, id = id](std::string_view left, std::string_view right) {
      if (normal.contains(left) && normal.contains(right)) ranked.emplace_back(-pieces.at(id).score, id, left, right);
    });
  }
  std::ranges::sort(ranked);
  json merges = json::array();
  for (auto& [score, id, left, right] : ranked) merges.push_back({std::move(left), std::move(right)});
  return merges;
}

json model_of(const SentencePieceModel& pieces, const std::vector<std::string>& names, bool has_user_defined) {
  if (pieces.algorithm == SentencePieceModel::Algorithm::unigram) {
    json vocabulary = json::array();
    for (const SentencePieceEntry& piece : pieces.pieces) vocabulary.push_back({piece.text, piece.score});
    return {{"type", "Unigram"},
            {"vocab", std::move(vocabulary)},
            {"unk_id", pieces.unknown_id},
            {"byte_fallback", pieces.byte_fallback}};
  }
  json vocabulary = json::object();
  for (std::size_t i = 0; i < names.size(); ++i) vocabulary[names[i]] = i;
  return {{"type", "BPE"},
          {"vocab", std::move(vocabulary)},
          {"merges", ranked_merges(pieces, names)},
          {"unk_token", pieces.unknown_piece},
          {"fuse_unk", true},
          {"byte_fallback", pieces.byte_fallback},
          {"ignore_merges", has_user_defined}};
}

json normalizer_of(const SentencePieceModel& pieces, bool legacy) {
  json steps = json::array();
  if (!pieces.character_map.empty()) {
    steps.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", base64_of_bytes(pieces.character_map)}});
  }
  if (pieces.remove_extra_spaces) {
    steps.push_back(replace_regex(R"(\A +| +\z)", ""));
    steps.push_back(replace_regex(" {2,}", " "));
  }
  if (pieces.escape_spaces) steps.push_back(replace_string(" ", kSpaceSymbol));
  const std::string space(kSpaceSymbol);
  // A Metaspace puts no space before one that is there, SentencePiece does.
  if (pieces.add_dummy_prefix && legacy) steps.push_back(replace_regex("\\A" + space, space + space));
  return sequence("normalizers", std::move(steps));
}

json pre_tokenizer_of(const SentencePieceModel& pieces, std::vector<std::string> user_defined, bool legacy) {
  json steps = json::array();
  if (pieces.add_dummy_prefix) {
    steps.push_back({{"type", "Metaspace"},
                     {"replacement", kSpaceSymbol},
                     {"prepend_scheme", legacy ? "always" : "first"},
                     {"split", false}});
  }
  if (!user_defined.empty()) {
    const auto characters = [](const std::string& text) {
      return std::ranges::count_if(text, [](char byte) { return (byte & 0xC0) != 0x80; });
    };
    std::ranges::stable_sort(user_defined, std::ranges::greater{}, characters);
    std::string pattern;
    for (const std::string& piece : user_defined)
      pattern.append(pattern.empty() ? "" : "|").append(Regex::escape(piece));
    steps.push_back(
        {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}});
  }
  return steps.empty() ? json() : sequence("pretokenizers", std::move(steps));
}

json decoder_of(const SentencePieceModel& pieces) {
  json steps = json::array({replace_string(kSpaceSymbol, " ")});
  if (pieces.byte_fallback) steps.push_back({{"type", "ByteFallback"}});
  if (pieces.add_dummy_prefix || pieces.byte_fallback) steps.push_back({{"type", "Fuse"}});
  if (pieces.add_dummy_prefix) steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return sequence("decoders", std::move(steps));
}

}  // namespace

json read_vocab_and_merges(const fs::path& folder) {
  const fs::path merges_file = folder / "merges.txt";
  json model = {{"type", "BPE"}, {"vocab", read_json_file(folder / "vocab.json", kFetchAgain)}};
  json merges = json::array();
  const std::string text = read_text_file(merges_file);
  if (const auto position = invalid_utf8_at(text)) {
    throw Error(ErrorKind::corrupt, merges_file.string(), "must be UTF-8", "byte " + std::to_string(*position));
  }
  for (std::size_t at = 0, number = 1; at < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
      throw Error(ErrorKind::corrupt, merges_file.string() + ", line " + std::to_string(number),
                  "must be two tokens with a space between", in_quotes(line.substr(0, 80)));
    }
    merges.push_back({line.substr(0, space), line.substr(space + 1)});
  }
  model["merges"] = std::move(merges);
  return model;
}

json sentencepiece_document(const SentencePieceModel& pieces, const std::vector<AddedToken>& added, bool legacy) {
  const std::vector<std::string> names = names_of(pieces, added);
  std::vector<std::string> user_defined;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (pieces.pieces[i].kind == PieceKind::user_defined) user_defined.push_back(names[i]);
  }
  json document;
  document["model"] = model_of(pieces, names, !user_defined.empty());
  document["normalizer"] = normalizer_of(pieces, legacy);
  document["pre_tokenizer"] = pre_tokenizer_of(pieces, std::move(user_defined), legacy);
  document["decoder"] = decoder_of(pieces);
  return document;
}

json sentencepiece_bpe(const SentencePieceModel& pieces) {
  StringMap<TokenId> known;
  json vocabulary = json::object(), merges = json::array();
  for (std::size_t i = 0; i < pieces.pieces.size(); ++i) {
    known.insert_or_assign(pieces.pieces[i].text, static_cast<TokenId>(i));
    vocabulary[pieces.pieces[i].text] = i;
  }
  for (std::size_t i = 0; i < pieces.pieces.size(); ++i) {
    const std::string& token = pieces.pieces[i].text;
    if (known.at(token) != static_cast<TokenId>(i)) continue;  // a later piece has the same spelling
    for_each_cut(token, [&](std::string_view left, std::string_view right) {
      if (known.contains(left) && known.contains(right)) merges.push_back({left, right});
    });
  }
  return {{"type", "BPE"}, {"vocab", std::move(vocabulary)}, {"merges", std::move(merges)}};
}

std::vector<AddedToken> sentencepiece_added(const SentencePieceModel& pieces, bool user_defined) {
  std::vector<AddedToken> tokens;
  for (const SentencePieceEntry& piece : pieces.pieces) {
    if (piece.kind != PieceKind::control && (piece.kind != PieceKind::user_defined || !user_defined)) continue;
    AddedToken token = AddedToken::plain(piece.text, piece.kind == PieceKind::control);
    token.normalized = false;
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace qcqa
