#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <utility>

#include "qcqa/search/layer_search.hpp"

namespace qcqa {

/// Collects groupings of one layer from any number of strategies and keeps the cheapest of each (class, group count).
///
/// Classes contain one another: a contiguous grouping is an equal one, an equal one an arbitrary one. So what is
/// offered in a narrow class competes in the wider ones too, and no class can come out worse than one inside it.
class LayerFrontBuilder {
 public:
  /// @param cost  not owned
  /// Offers the baselines: contiguous groups for every divisor ("gqa"), one group ("mqa"), all heads ("mha").
  LayerFrontBuilder(int layer, const GroupCost& cost);

  /// Opens a class for these group counts; only open places are filled. The contiguous class is always open.
  void open(Cardinality cardinality, int groups);
  /// Of equal costs the grouping with the lexicographically smaller labels stays, of equal groupings the first.
  void offer(const Grouping& grouping, std::string_view source);

  /// No grouping of the class with this group count costs less.
  void bound(Cardinality cardinality, int groups, double lower_bound);

  [[nodiscard]] LayerFront build(std::int64_t evaluations) const;

 private:
  struct Candidate {
    Grouping grouping;
    double cost = 0;
    std::string_view source;
    double lower_bound = 0;  // of the place, not of the candidate
  };
  void offer_to(Cardinality cardinality, const Candidate& candidate);

  int layer_;
  const GroupCost* cost_;
  // Falling group count within a class: the order of LayerFront.
  std::map<std::pair<Cardinality, int>, Candidate> places_;
};

}  // namespace qcqa
