#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace qcqa::examples {

/// A byte-level byte-pair encoding in the manner of GPT-2 (Radford et al. 2019, "Language Models
/// are Unsupervised Multitask Learners", section 2.2), trained on the spot. Ids: 0 `<s>`, 1 `</s>`,
/// the 256 bytes in the order of GPT-2's alphabet, then one id per merge.
///
/// Only what the little language needs: ASCII text with single spaces and no apostrophes, for which
/// GPT-2's regular expression means "an optional space, then letters, digits or other characters".
class ByteLevelBpe {
 public:
  static constexpr std::int64_t kBos = 0;
  static constexpr std::int64_t kEos = 1;

  /// Learns merges from `texts` until there are `vocabulary_size` ids or nothing is left to merge.
  /// Equally frequent pairs: the smaller ids first, so the result is the same everywhere.
  ByteLevelBpe(const std::vector<std::string>& texts, std::size_t vocabulary_size);

  /// Token ids without `<s>` and `</s>`.
  [[nodiscard]] std::vector<std::int64_t> encode(std::string_view text);

  [[nodiscard]] std::size_t vocabulary_size() const { return spelling_.size(); }

  /// The tokenizer as Hugging Face's `tokenizers` package stores it (tokenizer.json). It puts `<s>`
  /// before every text, as Llama's tokenizers do.
  [[nodiscard]] nlohmann::ordered_json tokenizer_json() const;

 private:
  using Pair = std::pair<std::int64_t, std::int64_t>;

  void learn(const std::vector<std::string>& texts, std::size_t vocabulary_size);
  [[nodiscard]] std::vector<std::int64_t> bytes_of(std::string_view piece) const;

  std::vector<std::string> spelling_;       // id -> text in GPT-2's alphabet
  std::vector<std::int64_t> id_of_byte_;    // byte -> id
  std::vector<Pair> merges_;                // in order of rank
  std::map<Pair, std::int64_t> merged_id_;  // pair -> id; a smaller id is a better rank
  std::unordered_map<std::string, std::vector<std::int64_t>> known_pieces_;  // encode()'s memory
};

}  // namespace qcqa::examples
