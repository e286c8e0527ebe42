#include "forward/alibi.hpp"

#include <ATen/ATen.h>

#include <bit>
#include <cmath>

namespace qcqa {

at::Tensor alibi_slopes(int query_heads, double exponent) {
  const auto heads = static_cast<unsigned>(query_heads);
  const unsigned below = std::bit_floor(heads);
  at::Tensor slopes = at::empty({query_heads});
  for (unsigned head = 0; head < heads; ++head) {
    const double share = head < below ? (head + 1.0) / below : (2.0 * (head - below) + 1) / (2.0 * below);
    slopes[head] = std::exp2(-exponent * share);
  }
  return slopes;
}

}  // namespace qcqa
