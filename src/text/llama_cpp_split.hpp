#pragma once

#include <span>
#include <string_view>

#include <nlohmann/json.hpp>

namespace qcqa {

/// A way of llama.cpp to split text before byte-level BPE (tokenizer.ggml.pre of a GGUF file), and the pre_tokenizer of
/// a tokenizer.json that does the same.
struct LlamaCppSplit {
  std::string_view name;
  nlohmann::json pre_tokenizer;
  bool ignore_merges = false;  ///< a word that is a token is that token
  bool adds_bos = false;       ///< where a file does not say
};

/// All that qcqa knows. Of several names for one way, the first is the one to write.
[[nodiscard]] std::span<const LlamaCppSplit> llama_cpp_splits();

}  // namespace qcqa
