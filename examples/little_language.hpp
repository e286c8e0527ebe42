#pragma once

#include <cstdint>
#include <string>

#include "seeded_random.hpp"

namespace qcqa::examples {

/// A generator of short stories whose words can only be foretold by looking back: who is a girl and
/// who a boy is settled by the story and not by the name, things change hands and are asked for,
/// songs are sung again, codes are explained and then used, brackets must close in order. A model
/// that reads them well needs attention heads with different jobs, which is what makes the choice
/// of KV groups matter.
///
/// The text is ASCII with single spaces, so that every byte-level pre-tokenizer cuts it the same
/// way. The same seed gives the same stories everywhere.
class LittleLanguage {
 public:
  explicit LittleLanguage(std::uint64_t seed) : random_(seed) {}

  /// The next story, 40 to 90 words in one line.
  [[nodiscard]] std::string next_story();

 private:
  SeededRandom random_;
};

}  // namespace qcqa::examples
