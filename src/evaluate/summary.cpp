#include "evaluate/summary.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <set>

namespace qcqa {
namespace {

/// Sums of one cluster: of tokens that are not independent of one another.
struct Cluster {
  double count = 0, loss = 0, difference = 0;

  void add(const TokenScore& score) {
    count += 1;
    loss += score.loss;
    difference += score.loss - score.reference_loss;
  }
};

/// Standard error of sum(value) / sum(count) as a ratio of cluster totals, by linearisation (Cochran, "Sampling
/// Techniques", 1977, section 6.4): clusters differ in size, and tokens within one are dependent.
double ratio_error(const std::vector<Cluster>& clusters, double Cluster::*value) {
  if (clusters.size() < 2) return 0;
  double total = 0;
  double count = 0;
  for (const Cluster& cluster : clusters) {
    total += cluster.*value;
    count += cluster.count;
  }
  const double mean = total / count;
  double squares = 0;
  for (const Cluster& cluster : clusters) {
    const double rest = cluster.*value - mean * cluster.count;
    squares += rest * rest;
  }
  const auto n = static_cast<double>(clusters.size());
  return std::sqrt(squares * n / (n - 1)) / count;
}

std::vector<Cluster> clusters_of(std::span<const TokenSequence> windows,
                                 const std::vector<std::vector<TokenScore>>& scores, bool by_document) {
  std::map<std::size_t, Cluster> clusters;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    if (scores[i].empty()) continue;
    Cluster& cluster = clusters[by_document ? windows[i].document : i];
    for (const TokenScore& score : scores[i]) cluster.add(score);
  }
  std::vector<Cluster> list;
  for (const auto& [key, cluster] : clusters) list.push_back(cluster);
  return list;
}

double percentile(std::vector<double> values, double share) {
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(values.size()))) - 1;
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(rank));
  return values[rank];
}

ReferenceComparison compare(const std::vector<std::vector<TokenScore>>& scores, const std::vector<Cluster>& clusters,
                            double count) {
  ReferenceComparison comparison;
  std::vector<double> divergences;
  for (const auto& window : scores) {
    for (const TokenScore& score : window) {
      comparison.cross_entropy += score.reference_loss;
      comparison.kl_mean += score.kl;
      comparison.difference += score.loss - score.reference_loss;
      comparison.top1_agreement += score.same_top ? 1 : 0;
      divergences.push_back(score.kl);
    }
  }
  for (double* sum :
       {&comparison.cross_entropy, &comparison.kl_mean, &comparison.difference, &comparison.top1_agreement}) {
    *sum /= count;
  }
  comparison.perplexity = std::exp(comparison.cross_entropy);
  comparison.kl_p99 = percentile(std::move(divergences), 0.99);
  comparison.difference_error = ratio_error(clusters, &Cluster::difference);
  return comparison;
}

}  // namespace

Evaluation summarise(std::span<const TokenSequence> windows, const std::vector<std::vector<TokenScore>>& scores,
                     bool with_reference) {
  Evaluation evaluation;
  std::set<std::size_t> documents;
  double total = 0;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    if (!scores[i].empty()) documents.insert(windows[i].document);
    evaluation.tokens += static_cast<std::int64_t>(scores[i].size());
    for (const TokenScore& score : scores[i]) total += score.loss;
  }
  const auto count = static_cast<double>(evaluation.tokens);
  const std::vector<Cluster> clusters = clusters_of(windows, scores, documents.size() > 1);
  evaluation.documents = static_cast<std::int64_t>(documents.size());
  evaluation.cross_entropy = total / count;
  evaluation.perplexity = std::exp(evaluation.cross_entropy);
  evaluation.standard_error = ratio_error(clusters, &Cluster::loss);
  if (with_reference) evaluation.reference = compare(scores, clusters, count);
  return evaluation;
}

std::vector<PositionBucket> by_position(std::span<const TokenSequence> windows,
                                        const std::vector<std::vector<TokenScore>>& scores, bool with_reference) {
  std::map<int, Cluster> clusters;  // by the bits of the position: 0; 1; 2 and 3; 4 to 7; ...
  for (std::size_t i = 0; i < windows.size(); ++i) {
    for (std::size_t k = 0; k < scores[i].size(); ++k) {
      clusters[static_cast<int>(std::bit_width(windows[i].first_target - 1 + k))].add(scores[i][k]);
    }
  }
  std::vector<PositionBucket> buckets;
  for (const auto& [bits, cluster] : clusters) {
    PositionBucket& bucket = buckets.emplace_back();
    bucket.end = std::int64_t{1} << bits;
    bucket.begin = bucket.end / 2;
    bucket.tokens = static_cast<std::int64_t>(cluster.count);
    bucket.cross_entropy = cluster.loss / cluster.count;
    if (with_reference) bucket.difference = cluster.difference / cluster.count;
  }
  return buckets;
}

}  // namespace qcqa
