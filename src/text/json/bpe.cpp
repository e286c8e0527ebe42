#include "text/json/bpe.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <queue>
#include <utility>

#include "support/in_quotes.hpp"
#include "text/unicode/unicode.hpp"

namespace qcqa {
namespace {

/// The two sides of a merge: ["a", "b"], or "a b" in older files.
std::array<std::string, 2> read_merge(const JsonView& entry) {
  if (entry.value().is_string()) {
    const std::string text = entry.text();
    const auto space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
      entry.corrupt("must be two tokens with a space between", in_quotes(text));
    }
    return {text.substr(0, space), text.substr(space + 1)};
  }
  const std::vector<JsonView> items = entry.items();
  if (items.size() != 2) entry.corrupt("must be a pair", std::to_string(items.size()) + " elements");
  return {items[0].text(), items[1].text()};
}

struct Symbol {
  TokenId id;
  std::int64_t previous, next;  // places in the word; -1 at its ends
  bool alive;
};

struct Candidate {
  std::uint32_t rank;
  std::int64_t left;
  TokenId result;
  bool operator<(const Candidate& other) const {  // the queue gives the largest: lowest rank, then leftmost
    return rank != other.rank ? rank > other.rank : left > other.left;
  }
};

}  // namespace

Bpe::Bpe(const JsonView& description) : vocabulary_(read_vocabulary(description)) {
  if (const auto dropout = description.find("dropout"); dropout && dropout->value() != 0) {
    unsupported(*dropout, "dropout (which makes ids random)");
  }
  prefix_ = description.text_or("continuing_subword_prefix", "");
  suffix_ = description.text_or("end_of_word_suffix", "");
  fuses_unknown_ = description.flag_or("fuse_unk", false);
  ignores_merges_ = description.flag_or("ignore_merges", false);
  if (const auto unknown = description.find("unk_token")) {
    const TokenId* id = find(unknown->text());
    if (id == nullptr) unknown->corrupt("must be in the vocabulary", in_quotes(unknown->text()));
    unknown_ = *id;
  }
  if (description.flag_or("byte_fallback", false)) {
    for (unsigned byte = 0; byte < 256; ++byte) {
      const TokenId* id = find(byte_token(byte));
      byte_tokens_.push_back(id != nullptr ? *id : -1);
    }
  }
  read_merges(description);
}

void Bpe::read_merges(const JsonView& description) {
  const JsonView merges = description.at("merges");
  if (!merges.value().is_array()) merges.corrupt("must be an array");
  merges_.reserve(merges.value().size());
  std::uint32_t rank = 0;
  for (const nlohmann::json& value : merges.value()) {
    const JsonView entry = merges.part(value);
    const auto [left, right] = read_merge(entry);
    // Inside a word the right side carries the prefix, the result carries only the left side's.
    if (right.size() < prefix_.size()) entry.corrupt("must join tokens that have the continuing_subword_prefix");
    std::string joined = left;
    joined.append(right, prefix_.size());
    const TokenId* left_id = find(left);
    const TokenId* right_id = find(right);
    const TokenId* result = find(joined);
    if (left_id == nullptr || right_id == nullptr || result == nullptr) {
      const std::string& missing = left_id == nullptr ? left : right_id == nullptr ? right : joined;
      entry.corrupt("merge " + std::to_string(rank) + " must be of tokens in the vocabulary", in_quotes(missing));
    }
    merges_.assign(static_cast<std::uint32_t>(*left_id), static_cast<std::uint32_t>(*right_id), {rank++, *result});
  }
  find_regions(merges);
}

/// Regions are right only where every character becomes tokens of its own, whatever its neighbours.
void Bpe::find_regions(const JsonView& merges) {
  has_regions_ =
      prefix_.empty() && suffix_.empty() && !byte_tokens_.empty() && std::ranges::count(byte_tokens_, -1) == 0;
  if (!has_regions_) return;
  for (const nlohmann::json& value : merges.value()) {
    const auto [left, right] = read_merge(merges.part(value));
    // A merge of byte tokens joins characters in a way that their spelling does not show.
    const auto is_byte = [&](const std::string& token) { return std::ranges::count(byte_tokens_, *find(token)) != 0; };
    if (left.size() == 6 || right.size() == 6) has_regions_ = has_regions_ && !is_byte(left) && !is_byte(right);
    regions_.allow(left + right);
  }
}

const TokenId* Bpe::find(std::string_view token) const {
  const auto found = vocabulary_.find(token);
  return found == vocabulary_.end() ? nullptr : &found->second;
}

const Bpe::Merge* Bpe::find_merge(TokenId left, TokenId right) const {
  return merges_.find(static_cast<std::uint32_t>(left), static_cast<std::uint32_t>(right));
}

void Bpe::encode(std::string_view word, std::vector<TokenId>& ids) const {
  if (word.empty()) return;
  if (ignores_merges_) {
    if (const TokenId* whole = find(word)) return ids.push_back(*whole);
  }
  for (std::size_t begin = 0; begin < word.size();) {
    const std::size_t end = has_regions_ ? regions_.end(word, begin) : word.size();
    encode_region(word.substr(begin, end - begin), ids);
    begin = end;
  }
}

void Bpe::encode_region(std::string_view region, std::vector<TokenId>& ids) const {
  const auto append = [&](const std::vector<TokenId>& known) { ids.insert(ids.end(), known.begin(), known.end()); };
  if (known_.recall(region, append)) return;
  std::vector<TokenId> result = characters_of(region);
  merge(result);
  append(result);
  known_.keep(region, std::move(result));
}

std::vector<TokenId> Bpe::characters_of(std::string_view word) const {
  std::vector<TokenId> ids;
  ids.reserve(word.size());
  bool unknown_pending = false;
  std::string decorated;
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t begin = at;
    at += utf8_length(word[at]);
    std::string_view character = word.substr(begin, at - begin);
    const bool has_prefix = begin > 0 && !prefix_.empty(), has_suffix = at == word.size() && !suffix_.empty();
    if (has_prefix || has_suffix) {
      decorated.assign(has_prefix ? prefix_ : "").append(character).append(has_suffix ? suffix_ : "");
      character = decorated;
    }
    if (const TokenId* id = find(character)) {
      if (std::exchange(unknown_pending, false)) ids.push_back(unknown_);
      ids.push_back(*id);
      continue;
    }
    if (!byte_tokens_.empty()) {
      const std::size_t size = ids.size();
      for (const char byte : character) ids.push_back(byte_tokens_[static_cast<unsigned char>(byte)]);
      if (std::find(ids.begin() + static_cast<std::ptrdiff_t>(size), ids.end(), -1) == ids.end()) continue;
      ids.resize(size);
    }
    if (unknown_ < 0) continue;  // the tokenizers package drops what it cannot spell
    if (unknown_pending && !fuses_unknown_) ids.push_back(unknown_);
    unknown_pending = true;
  }
  if (unknown_pending) ids.push_back(unknown_);
  return ids;
}

void Bpe::merge(std::vector<TokenId>& ids) const {
  std::vector<Symbol> symbols;
  symbols.reserve(ids.size());
  const auto count = static_cast<std::int64_t>(ids.size());
  for (std::int64_t i = 0; i < count; ++i) {
    symbols.push_back({ids[static_cast<std::size_t>(i)], i - 1, i + 1 < count ? i + 1 : -1, true});
  }
  const auto symbol = [&](std::int64_t place) -> Symbol& { return symbols[static_cast<std::size_t>(place)]; };

  std::vector<Candidate> first;
  const auto candidate = [&](std::int64_t left) -> std::optional<Candidate> {
    if (left < 0 || symbol(left).next < 0) return std::nullopt;
    const Merge* found = find_merge(symbol(left).id, symbol(symbol(left).next).id);
    if (found == nullptr) return std::nullopt;
    return Candidate{found->rank, left, found->result};
  };
  for (std::int64_t i = 0; i + 1 < count; ++i) {
    if (const auto found = candidate(i)) first.push_back(*found);
  }
  std::priority_queue<Candidate> queue(std::less<Candidate>{}, std::move(first));

  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    Symbol& left = symbol(top.left);
    if (!left.alive || left.next < 0) continue;
    Symbol& right = symbol(left.next);
    // The neighbours may have changed since; what counts is that they still merge into the same token.
    const Merge* current = find_merge(left.id, right.id);
    if (current == nullptr || current->result != top.result) continue;
    left.id = top.result;
    left.next = right.next;
    right.alive = false;
    if (left.next >= 0) symbol(left.next).previous = top.left;
    if (const auto found = candidate(left.previous)) queue.push(*found);
    if (const auto found = candidate(top.left)) queue.push(*found);
  }

  std::size_t kept = 0;
  for (std::int64_t i = count > 0 ? 0 : -1; i >= 0; i = symbol(i).next) ids[kept++] = symbol(i).id;
  ids.resize(kept);
}

}  // namespace qcqa
