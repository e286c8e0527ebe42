#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace qcqa {

/// Minimum-weight perfect matching in a complete graph, exact, O(n^3): Edmonds' blossom algorithm ("Maximum matching
/// and a polyhedron with 0,1-vertices", J. Res. Nat. Bur. Standards 69B, 1965) in the primal-dual form of Galil,
/// "Efficient algorithms for finding maximum matching in graphs", ACM Computing Surveys 18(1), 1986, section 3.
///
/// Every stage grows alternating trees from all free vertices ("even" and "odd" levels), changes the dual values until
/// an edge becomes tight, shrinks an odd cycle of tight edges into a blossom or augments along a path between two
/// trees.
///
/// @param weights  row-major n x n, symmetric, n even, |weight| <= 2^53; the diagonal is ignored
/// @returns partner of each vertex
[[nodiscard]] std::vector<int> minimum_perfect_matching(int n, std::span<const std::int64_t> weights);

}  // namespace qcqa
