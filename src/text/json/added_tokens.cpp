#include "text/json/added_tokens.hpp"

#include <algorithm>

#include "text/unicode/unicode.hpp"

namespace qcqa {
namespace {

char32_t code_point_before(std::string_view text, std::size_t at) {
  do --at;
  while ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  return next_code_point(text, at);
}

char32_t code_point_at(std::string_view text, std::size_t at) { return next_code_point(text, at); }

bool is_single_word(std::string_view text, TextRange match) {
  return (match.begin == 0 || !is_word(code_point_before(text, match.begin))) &&
         (match.end == text.size() || !is_word(code_point_at(text, match.end)));
}

std::size_t white_space_begin(std::string_view text, std::size_t end) {
  while (end > 0 && is_white_space(code_point_before(text, end))) {
    do --end;
    while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  }
  return end;
}

std::size_t white_space_end(std::string_view text, std::size_t begin) {
  while (begin < text.size() && is_white_space(code_point_at(text, begin))) begin += utf8_length(text[begin]);
  return begin;
}

}  // namespace

void AddedTokenFinder::add(const AddedToken& token, const std::string& spelling) {
  if (spellings_.insert(spelling, static_cast<std::int32_t>(tokens_.size()))) tokens_.push_back(token);
}

void AddedTokenFinder::split(std::string_view text, bool at_start, Pieces& pieces) const {
  std::size_t done = 0;
  const auto add_text = [&](std::size_t end) {
    if (done < end) pieces.add({text.substr(done, end - done), Piece::kIsText, at_start && done == 0});
  };
  for (std::size_t at = 0; !tokens_.empty() && at < text.size();) {
    const ByteTrie::Match found = spellings_.longest(text, at);
    if (found.length == 0) {
      ++at;
      continue;
    }
    const AddedToken* token = &tokens_[static_cast<std::size_t>(found.value)];
    TextRange match{at, at + found.length};
    at = match.end;
    if (token->single_word && !is_single_word(text, match)) continue;
    if (token->lstrip) match.begin = std::max(white_space_begin(text, match.begin), done);
    if (token->rstrip) match.end = white_space_end(text, match.end);
    add_text(match.begin);
    pieces.add({{}, token->id, false});
    done = match.end;
  }
  add_text(text.size());
}

AddedToken AddedToken::plain(std::string content, bool special) {
  AddedToken token;
  token.content = std::move(content);
  token.special = special;
  token.normalized = !special;
  return token;
}

AddedToken AddedToken::read(const JsonView& entry) {
  AddedToken token = plain(entry.at("content").text(), entry.flag_or("special", false));
  token.single_word = entry.flag_or("single_word", false);
  token.lstrip = entry.flag_or("lstrip", false);
  token.rstrip = entry.flag_or("rstrip", false);
  token.normalized = entry.flag_or("normalized", token.normalized);
  return token;
}

void AddedVocabulary::add(AddedToken token) {
  if (token.content.empty()) return;
  if (const auto known = places_.find(token.content); known != places_.end()) {
    token.id = tokens_[known->second].id;
    tokens_[known->second] = std::move(token);
    return;
  }
  if (const auto known = vocabulary_.find(token.content); known != vocabulary_.end()) {
    token.id = known->second;
  } else {
    std::size_t next = count_;
    for (const AddedToken& other : tokens_) next = std::max(next, static_cast<std::size_t>(other.id) + 1);
    token.id = static_cast<TokenId>(next);
  }
  places_.emplace(token.content, tokens_.size());
  tokens_.push_back(std::move(token));
}

std::optional<TokenId> AddedVocabulary::find(std::string_view content) const {
  if (const auto added = places_.find(content); added != places_.end()) return tokens_[added->second].id;
  const auto known = vocabulary_.find(content);
  return known == vocabulary_.end() ? std::nullopt : std::optional(known->second);
}

}  // namespace qcqa
