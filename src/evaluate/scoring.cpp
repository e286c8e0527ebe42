#include "evaluate/scoring.hpp"

#include <ATen/ATen.h>

#include "forward/cpu_kernels.hpp"
#include "forward/runtime.hpp"

namespace qcqa {
namespace {

std::vector<TokenScore> score_on_cpu(const at::Tensor& logits, const at::Tensor& reference,
                                     const std::vector<std::int64_t>& targets) {
  const std::int64_t vocabulary = logits.size(1);
  const float* const model_data = logits.data_ptr<float>();
  const float* const reference_data = reference.defined() ? reference.data_ptr<float>() : nullptr;
  std::vector<TokenScore> scores(targets.size());
  parallel_for(static_cast<std::int64_t>(targets.size()), [&](std::int64_t i) {
    TokenScore& score = scores[static_cast<std::size_t>(i)];
    const std::int64_t target = targets[static_cast<std::size_t>(i)];
    const float* const row = model_data + i * vocabulary;
    const double log_sum = cpu::log_sum_exp(row, vocabulary);
    score.loss = log_sum - static_cast<double>(row[target]);
    if (!reference_data) return;
    const float* const other = reference_data + i * vocabulary;
    const double other_log_sum = cpu::log_sum_exp(other, vocabulary);
    score.reference_loss = other_log_sum - static_cast<double>(other[target]);
    score.kl = cpu::kl_divergence(other, other_log_sum, row, log_sum, vocabulary);
    score.same_top = cpu::argmax(row, vocabulary) == cpu::argmax(other, vocabulary);
  });
  return scores;
}

std::vector<double> to_doubles(const at::Tensor& tensor) {
  const at::Tensor wide = tensor.to(at::kDouble).to(at::kCPU).contiguous();
  return {wide.data_ptr<double>(), wide.data_ptr<double>() + wide.numel()};
}

}  // namespace

std::vector<TokenScore> score_tokens(const at::Tensor& logits, const at::Tensor& reference,
                                     const std::vector<std::int64_t>& targets) {
  if (logits.is_cpu()) return score_on_cpu(logits, reference, targets);
  const at::Tensor index = at::tensor(at::ArrayRef<std::int64_t>(targets)).to(logits.device()).unsqueeze(1);
  const at::Tensor model_log = at::log_softmax(logits, -1);
  const std::vector<double> loss = to_doubles(-model_log.gather(1, index).squeeze(1));
  std::vector<TokenScore> scores(targets.size());
  for (std::size_t i = 0; i < scores.size(); ++i) scores[i].loss = loss[i];
  if (!reference.defined()) return scores;
  const at::Tensor reference_log = at::log_softmax(reference, -1);
  const std::vector<double> reference_loss = to_doubles(-reference_log.gather(1, index).squeeze(1));
  const std::vector<double> kl = to_doubles((reference_log.exp() * (reference_log - model_log)).sum(-1));
  const std::vector<double> same = to_doubles(logits.argmax(-1) == reference.argmax(-1));
  for (std::size_t i = 0; i < scores.size(); ++i) {
    scores[i].reference_loss = reference_loss[i];
    scores[i].kl = kl[i];
    scores[i].same_top = same[i] != 0;
  }
  return scores;
}

}  // namespace qcqa
