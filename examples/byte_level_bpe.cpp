#include "byte_level_bpe.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include "qcqa/support/error.hpp"

namespace qcqa::examples {
namespace {

constexpr const char* kBosText = "<s>";
constexpr const char* kEosText = "</s>";

std::string utf8(unsigned code_point) {  // enough for the alphabet below: code points < 0x800
  if (code_point < 0x80) return {static_cast<char>(code_point)};
  return {static_cast<char>(0xC0 | (code_point >> 6)), static_cast<char>(0x80 | (code_point & 0x3F))};
}

// GPT-2's alphabet shows every byte as a printable character: the printable bytes of Latin-1 as
// themselves, the others as U+0100, U+0101, ... in order of the byte.
std::array<unsigned, 256> byte_alphabet() {
  std::array<unsigned, 256> code_points{};
  unsigned next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    code_points[byte] = printable ? byte : next++;
  }
  return code_points;
}

enum class Class { letter, digit, other };

Class class_of(char c) {
  const auto byte = static_cast<unsigned char>(c);
  if (byte <= ' ' || byte >= 0x7F || c == '\'') {
    throw Error(ErrorKind::invalid_argument, "example tokenizer",
                "texts are printable ASCII with single spaces and no apostrophes", "byte " + std::to_string(byte));
  }
  if (std::isalpha(byte)) return Class::letter;
  return std::isdigit(byte) ? Class::digit : Class::other;
}

// The first piece of `text`: an optional space and a run of characters of one class.
std::string_view first_piece(std::string_view text) {
  std::size_t end = text[0] == ' ' ? 1 : 0;
  const Class run = class_of(end < text.size() ? text[end] : ' ');
  do ++end;
  while (end < text.size() && text[end] != ' ' && class_of(text[end]) == run);
  return text.substr(0, end);
}

void replace_pair(std::vector<std::int64_t>& ids, std::pair<std::int64_t, std::int64_t> pair, std::int64_t merged) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const bool match = i + 1 < ids.size() && ids[i] == pair.first && ids[i + 1] == pair.second;
    ids[kept++] = match ? merged : ids[i];
    i += match ? 1 : 0;
  }
  ids.resize(kept);
}

}  // namespace

ByteLevelBpe::ByteLevelBpe(const std::vector<std::string>& texts, std::size_t vocabulary_size)
    : spelling_{kBosText, kEosText}, id_of_byte_(256) {
  const std::array<unsigned, 256> alphabet = byte_alphabet();
  std::array<std::size_t, 256> order{};
  for (std::size_t byte = 0; byte < 256; ++byte) order[byte] = byte;
  std::ranges::sort(order, {}, [&](std::size_t byte) { return alphabet[byte]; });
  for (const std::size_t byte : order) {
    id_of_byte_[byte] = static_cast<std::int64_t>(spelling_.size());
    spelling_.push_back(utf8(alphabet[byte]));
  }
  learn(texts, vocabulary_size);
}

void ByteLevelBpe::learn(const std::vector<std::string>& texts, std::size_t vocabulary_size) {
  std::map<std::string, std::int64_t, std::less<>> frequency;
  for (const std::string_view text : texts) {
    for (std::size_t at = 0; at < text.size();) {
      const std::string_view piece = first_piece(text.substr(at));
      at += piece.size();
      ++frequency[std::string(piece)];
    }
  }
  std::vector<std::pair<std::vector<std::int64_t>, std::int64_t>> pieces;
  for (const auto& [piece, count] : frequency) pieces.emplace_back(bytes_of(piece), count);

  while (spelling_.size() < vocabulary_size) {
    std::map<Pair, std::int64_t> pair_counts;
    for (const auto& [ids, count] : pieces) {
      for (std::size_t i = 0; i + 1 < ids.size(); ++i) pair_counts[{ids[i], ids[i + 1]}] += count;
    }
    // max_element keeps the first of equals: the smallest pair, as the map is sorted.
    const auto best = std::ranges::max_element(pair_counts, {}, [](const auto& p) { return p.second; });
    if (best == pair_counts.end()) return;
    const Pair pair = best->first;
    const auto merged = static_cast<std::int64_t>(spelling_.size());
    spelling_.push_back(spelling_[static_cast<std::size_t>(pair.first)] +
                        spelling_[static_cast<std::size_t>(pair.second)]);
    merges_.push_back(pair);
    merged_id_.emplace(pair, merged);
    for (auto& entry : pieces) replace_pair(entry.first, pair, merged);
  }
}

std::vector<std::int64_t> ByteLevelBpe::bytes_of(std::string_view piece) const {
  std::vector<std::int64_t> ids;
  for (const char c : piece) ids.push_back(id_of_byte_[static_cast<unsigned char>(c)]);
  return ids;
}

std::vector<std::int64_t> ByteLevelBpe::encode(std::string_view text) {
  std::vector<std::int64_t> result;
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view piece = first_piece(text.substr(at));
    at += piece.size();
    const auto [entry, is_new] = known_pieces_.try_emplace(std::string(piece));
    std::vector<std::int64_t>& ids = entry->second;
    if (is_new) {
      ids = bytes_of(piece);
      for (;;) {
        std::optional<std::pair<std::int64_t, Pair>> best;  // merged id, pair
        for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
          const auto found = merged_id_.find({ids[i], ids[i + 1]});
          if (found != merged_id_.end() && (!best || found->second < best->first)) {
            best = {found->second, found->first};
          }
        }
        if (!best) break;
        replace_pair(ids, best->second, best->first);
      }
    }
    result.insert(result.end(), ids.begin(), ids.end());
  }
  return result;
}

nlohmann::ordered_json ByteLevelBpe::tokenizer_json() const {
  using Json = nlohmann::ordered_json;
  const auto special = [](std::int64_t id, const char* text) {
    return Json{{"id", id},        {"content", text},     {"single_word", false}, {"lstrip", false},
                {"rstrip", false}, {"normalized", false}, {"special", true}};
  };
  const Json byte_level{
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  const auto token = [](const char* id) { return Json{{"SpecialToken", {{"id", id}, {"type_id", 0}}}}; };
  const auto sequence = [](const char* id, int type) { return Json{{"Sequence", {{"id", id}, {"type_id", type}}}}; };
  Json vocabulary = Json::object();
  for (std::size_t id = 0; id < spelling_.size(); ++id) vocabulary[spelling_[id]] = id;
  Json merges = Json::array();
  for (const auto& [left, right] : merges_) {
    merges.push_back(spelling_[static_cast<std::size_t>(left)] + " " + spelling_[static_cast<std::size_t>(right)]);
  }
  Json root;
  root["version"] = "1.0";
  root["truncation"] = nullptr;
  root["padding"] = nullptr;
  root["added_tokens"] = Json::array({special(kBos, kBosText), special(kEos, kEosText)});
  root["normalizer"] = nullptr;
  root["pre_tokenizer"] = byte_level;
  root["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", Json::array({token(kBosText), sequence("A", 0)})},
      {"pair", Json::array({token(kBosText), sequence("A", 0), token(kBosText), sequence("B", 1)})},
      {"special_tokens",
       {{kBosText, {{"id", kBosText}, {"ids", Json::array({kBos})}, {"tokens", Json::array({kBosText})}}}}}};
  root["decoder"] = byte_level;
  root["model"] = {{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", nullptr},
                   {"continuing_subword_prefix", nullptr},
                   {"end_of_word_suffix", nullptr},
                   {"fuse_unk", false},
                   {"byte_fallback", false},
                   {"ignore_merges", false},
                   {"vocab", vocabulary},
                   {"merges", merges}};
  return root;
}

}  // namespace qcqa::examples
