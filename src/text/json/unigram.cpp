#include "text/json/unigram.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"
#include "text/unicode/unicode.hpp"

namespace qcqa {
namespace {

constexpr double kUnknownPenalty = 10;

}  // namespace

Unigram::Unigram(const JsonView& description) : where_(description.where()) {
  const JsonView vocabulary = description.at("vocab");
  const std::vector<JsonView> entries = vocabulary.items();
  if (entries.empty()) vocabulary.corrupt("must not be empty");
  if (entries.size() > static_cast<std::size_t>(kLargestId)) vocabulary.corrupt("has too many tokens");
  double smallest = std::numeric_limits<double>::infinity();
  for (const JsonView& entry : entries) {
    const std::vector<JsonView> pair = entry.items();
    if (pair.size() != 2 || !pair[1].value().is_number()) entry.corrupt("must be a token and its score");
    const auto id = static_cast<TokenId>(scores_.size());
    const std::string token = pair[0].text();
    const auto score = pair[1].value().get<double>();
    if (!std::isfinite(score)) entry.corrupt("must have a score that is a number");
    vocabulary_.insert_or_assign(token, id);
    scores_.push_back(score);
    smallest = std::min(smallest, score);
  }
  // Of two entries with one spelling the last one counts.
  for (const auto& [token, id] : vocabulary_) pieces_.insert(token, id);
  unknown_score_ = smallest - kUnknownPenalty;
  if (const auto unknown = description.find("unk_id")) {
    unknown_ = static_cast<TokenId>(unknown->integer(0, static_cast<std::int64_t>(scores_.size()) - 1));
  }
  if (!description.flag_or("byte_fallback", false)) return;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const auto found = vocabulary_.find(byte_token(byte));
    byte_tokens_.push_back(found != vocabulary_.end() ? found->second : -1);
  }
}

std::vector<Unigram::Part> Unigram::best_path(std::string_view word) const {
  struct Path {
    double score = 0;
    std::size_t begin = 0;
    TokenId id = -1;
    bool found = false;

    void offer(double other, std::size_t from, TokenId piece) {
      if (!found || other > score) *this = {other, from, piece, true};
    }
  };
  std::vector<Path> paths(word.size() + 1);  // by where a path ends
  for (std::size_t begin = 0; begin < word.size(); begin += utf8_length(word[begin])) {
    const double so_far = paths[begin].score;
    const std::size_t character = utf8_length(word[begin]);
    bool has_character = false;
    pieces_.for_each_prefix(word, begin, [&](std::size_t length, std::int32_t id) {
      paths[begin + length].offer(scores_[static_cast<std::size_t>(id)] + so_far, begin, id);
      has_character = has_character || length == character;
    });
    if (!has_character) paths[begin + character].offer(unknown_score_ + so_far, begin, -1);
  }
  std::vector<Part> parts;
  for (std::size_t end = word.size(); end > 0;) {
    const Path& path = paths[end];
    // What is unknown, or spelled like the unknown token, is joined with its neighbours of the kind.
    const bool unknown = path.id < 0 || path.id == unknown_;
    if (unknown && !parts.empty() && parts.back().id < 0) {
      parts.back().begin = path.begin;
    } else {
      parts.push_back({path.begin, end, unknown ? TokenId{-1} : path.id});
    }
    end = path.begin;
  }
  std::ranges::reverse(parts);
  return parts;
}

void Unigram::spell_unknown(std::string_view part, std::vector<TokenId>& ids) const {
  if (const auto whole = vocabulary_.find(part); whole != vocabulary_.end()) return ids.push_back(whole->second);
  if (!byte_tokens_.empty()) {
    const auto byte_id = [this](char byte) { return byte_tokens_[static_cast<unsigned char>(byte)]; };
    if (std::ranges::all_of(part, [&](char byte) { return byte_id(byte) >= 0; })) {
      for (const char byte : part) ids.push_back(byte_id(byte));
      return;
    }
  }
  if (unknown_ < 0) {
    throw Error(ErrorKind::unsupported, where_, "the text has a character that the vocabulary does not spell",
                in_quotes(part.substr(0, 40)), "The tokenizer names no unknown token (unk_id) for it.");
  }
  ids.push_back(unknown_);
}

void Unigram::encode(std::string_view word, std::vector<TokenId>& ids) const {
  const auto append = [&](const std::vector<TokenId>& known) { ids.insert(ids.end(), known.begin(), known.end()); };
  if (word.empty() || known_.recall(word, append)) return;
  std::vector<TokenId> result;
  for (const Part& part : best_path(word)) {
    if (part.id >= 0) {
      result.push_back(part.id);
    } else {
      spell_unknown(word.substr(part.begin, part.end - part.begin), result);
    }
  }
  append(result);
  known_.keep(word, std::move(result));
}

}  // namespace qcqa
