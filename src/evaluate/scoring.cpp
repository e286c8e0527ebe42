#include "evaluate/scoring.hpp"

#include <ATen/ATen.h>

#include <algorithm>

namespace qcqa {
namespace {

std::vector<double> to_doubles(const at::Tensor& tensor) {
  const at::Tensor wide = tensor.to(at::kDouble).to(at::kCPU).contiguous();
  return {wide.data_ptr<double>(), wide.data_ptr<double>() + wide.numel()};
}

}  // namespace

std::vector<TokenScore> score_tokens(const at::Tensor& logits, const at::Tensor& reference,
                                     const std::vector<std::int64_t>& targets) {
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
    scores[i].kl = std::max(0.0, kl[i]);  // below zero by rounding only
    scores[i].same_top = same[i] != 0;
  }
  return scores;
}

}  // namespace qcqa
