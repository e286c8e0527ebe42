#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "qcqa/forward/forward_options.hpp"
#include "qcqa/forward/kv_cache.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/support/progress.hpp"
#include "qcqa/text/token_sequences.hpp"

namespace qcqa {

struct EvaluateOptions {
  ForwardOptions forward{};
  /// What the model's keys and values are rounded to before attention uses them; the reference's are left as they are,
  /// so that the difference is what fewer heads and fewer bits cost together.
  KvCacheType kv_cache = KvCacheType::f32;
  bool by_position = false;  ///< whether to fill Evaluation::by_position
};

/// A model beside a reference, over the same tokens. Natural logarithms.
struct ReferenceComparison {
  double perplexity = 0;                ///< of the reference
  double cross_entropy = 0;             ///< of the reference, per token
  double kl_mean = 0;                   ///< KL divergence of the model's predictions from the reference's, per token
  double kl_p99 = 0;                    ///< 99 of 100 tokens have no more than this
  double top1_agreement = 0;            ///< share of tokens where both find the same token likeliest
  double difference = 0;                ///< cross-entropy of the model less that of the reference, per token
  double difference_error = 0;          ///< standard error of it, paired
  std::int64_t kv_bytes_per_token = 0;  ///< of the reference, in its checkpoint's own type
};

/// A KV cache that was rounded to the type that a runtime keeps it in.
struct RoundedCache {
  KvCacheType type{};
  std::int64_t bytes_per_token = 0;
  std::optional<std::int64_t> reference_bytes_per_token{};  ///< of the reference, were its cache kept so as well
};

/// Tokens that were predicted at about the same place in their windows.
struct PositionBucket {
  std::int64_t begin = 0, end = 0;  ///< positions of the tokens that predict: [begin, end), the first of a window is 0
  std::int64_t tokens = 0;
  double cross_entropy = 0;
  std::optional<double> difference{};  ///< cross-entropy of the model less that of the reference
};

struct Evaluation {
  double perplexity = 0;     ///< exp(cross_entropy)
  double cross_entropy = 0;  ///< mean over tokens
  double standard_error =
      0;  ///< of cross_entropy, over documents (over windows when there is one document); 0 when there is one window
  std::int64_t tokens = 0;  ///< predicted
  std::int64_t documents = 0;
  std::int64_t kv_bytes_per_token = 0;     ///< in the checkpoint's own type
  std::optional<RoundedCache> kv_cache{};  ///< unless it was left as computed
  double tokens_per_second = 0;            ///< predicted tokens per second of the whole computation, reference included
  std::optional<ReferenceComparison> reference;
  std::vector<PositionBucket> by_position{};  ///< [0, 1), [1, 2), [2, 4), [4, 8), ..., those with tokens

  /// Relative to the reference: 0.1 is 10 % more. Needs `reference`.
  [[nodiscard]] double perplexity_increase() const { return std::expm1(reference->difference); }
};

/// Runs the model, and the reference beside it, over the windows. Memory: one layer of one model, both output matrices,
/// hidden states (in turns of bounded size); logits exist for a few tokens at a time.
/// @param reference  nullptr, or a model with the same vocabulary
/// @throws Error(invalid_argument) when nothing is scored or a token id is outside the vocabulary;
///         Error(unsupported) when a model cannot be run or its heads do not fit options.kv_cache;
///         Error(interrupted) when progress asks to stop
[[nodiscard]] Evaluation evaluate(const Model& model, const Model* reference, std::span<const TokenSequence> windows,
                                  const EvaluateOptions& options, const ProgressFn& progress = {});

/// Writes the logits after every token of every window, (tokens, vocabulary) in F32, as the tensor "logits" of
/// `folder`/model.safetensors. For comparing with other programs.
void dump_logits(const Model& model, std::span<const TokenSequence> windows, const EvaluateOptions& options,
                 const std::filesystem::path& folder);

}  // namespace qcqa
