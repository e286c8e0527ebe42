#include "qcqa/evaluate/evaluate.hpp"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>

#include "evaluate/summary.hpp"
#include "evaluate/window_scores.hpp"
#include "qcqa/checkpoint/writer.hpp"
#include "support/error_of_errno.hpp"

namespace qcqa {
namespace {

/// Before anything is computed: heads of the reference may not fit.
std::optional<RoundedCache> rounded_cache(const Model& model, const Model* reference, KvCacheType type) {
  if (type == KvCacheType::f32) return std::nullopt;
  RoundedCache cache{.type = type, .bytes_per_token = kv_bytes_per_token(model, type)};
  if (reference) cache.reference_bytes_per_token = kv_bytes_per_token(*reference, type);
  return cache;
}

}  // namespace

Evaluation evaluate(const Model& model, const Model* reference, std::span<const TokenSequence> windows,
                    const EvaluateOptions& options, const ProgressFn& progress) {
  const std::optional<RoundedCache> cache = rounded_cache(model, reference, options.kv_cache);
  const auto begin = std::chrono::steady_clock::now();
  const auto scores = score_windows(model, reference, windows, options, progress);
  Evaluation evaluation = summarise(windows, scores, reference != nullptr);
  if (options.by_position) evaluation.by_position = by_position(windows, scores, reference != nullptr);
  evaluation.kv_bytes_per_token = model.kv_bytes_per_token();
  if (reference) evaluation.reference->kv_bytes_per_token = reference->kv_bytes_per_token();
  evaluation.kv_cache = cache;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  evaluation.tokens_per_second = static_cast<double>(evaluation.tokens) / seconds;
  return evaluation;
}

void dump_logits(const Model& model, std::span<const TokenSequence> windows, const EvaluateOptions& options,
                 const std::filesystem::path& folder) {
  std::vector<std::span<const TokenId>> sequences;
  std::int64_t tokens = 0;
  for (const TokenSequence& window : windows) {
    sequences.push_back(window.ids);
    tokens += static_cast<std::int64_t>(window.ids.size());
  }
  const c10::InferenceMode no_gradients;
  Transformer transformer(model, Runtime::of(options.forward, options.kv_cache));
  transformer.load_head();
  const at::Tensor hidden = transformer.run(sequences);
  const std::int64_t vocabulary = transformer.vocabulary();
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (failure) throw error_of_errno(folder, "cannot be created", failure.value());
  CheckpointWriter writer(folder, {{"logits", Dtype::f32, {tokens, vocabulary}}});
  const std::int64_t step = logit_rows(transformer);
  for (std::int64_t row = 0; row < tokens; row += step) {
    const at::Tensor logits =
        transformer.logits(hidden.narrow(0, row, std::min(step, tokens - row))).to(at::kCPU).contiguous();
    writer.write("logits", std::as_bytes(std::span(logits.data_ptr<float>(), static_cast<std::size_t>(logits.numel()))),
                 static_cast<std::uint64_t>(row * vocabulary) * sizeof(float));
  }
  writer.finish();
}

}  // namespace qcqa
