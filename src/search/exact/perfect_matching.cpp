#include "search/exact/perfect_matching.hpp"

#include <algorithm>
#include <limits>

namespace qcqa {
namespace {

enum class Level : std::uint8_t { free, even, odd };

constexpr int kNobody = -1;

// Nodes 0..n-1 are vertices, n..2n-1 blossoms; a "base" is the outermost blossom around a vertex, or the vertex.
class Matcher {
 public:
  Matcher(int n, std::span<const std::int64_t> weights)
      : n_(n),
        nodes_(n),
        weights_(weights),
        dual_(size(2 * n)),
        edge_(size(2 * n) * size(2 * n)),
        mate_(size(2 * n), kNobody),
        base_(size(2 * n), kNobody),
        parent_(size(2 * n), kNobody),
        nearest_(size(2 * n), kNobody),
        visited_(size(2 * n), 0),
        level_(size(2 * n), Level::free),
        ring_(size(2 * n)),
        child_of_(size(2 * n) * size(n), kNobody) {
    // Turned into a maximum; with all duals half the largest weight no edge is violated.
    std::int64_t most = std::numeric_limits<std::int64_t>::min();
    for (int u = 0; u < n; ++u) {
      base_[size(u)] = u;
      child(u, u) = u;
      for (int v = 0; v < n; ++v) {
        edge(u, v) = {u, v};
        if (u != v) most = std::max(most, -weight(u, v));
      }
    }
    std::fill_n(dual_.begin(), n, n > 1 ? most : 0);
  }

  std::vector<int> run() {
    while (stage()) {
    }
    return {mate_.begin(), mate_.begin() + n_};
  }

 private:
  struct Edge {
    int from = kNobody, to = kNobody;  // vertices; `from` lies in the first node of the pair
  };

  static constexpr std::size_t size(int i) noexcept { return static_cast<std::size_t>(i); }
  [[nodiscard]] std::int64_t weight(int u, int v) const { return weights_[size(u) * size(n_) + size(v)]; }
  Edge& edge(int a, int b) { return edge_[size(a) * size(2 * n_) + size(b)]; }
  int& child(int blossom, int vertex) { return child_of_[size(blossom) * size(n_) + size(vertex)]; }
  [[nodiscard]] bool is_blossom(int x) const { return x >= n_; }
  [[nodiscard]] bool is_base(int x) const { return base_[size(x)] == x; }

  /// Twice the distance from tightness, >= 0.
  std::int64_t slack(const Edge& e) const { return dual_[size(e.from)] + dual_[size(e.to)] + 2 * weight(e.from, e.to); }

  void note_nearest(int u, int x) {
    const int known = nearest_[size(x)];
    if (known == kNobody || slack(edge(u, x)) < slack(edge(known, x))) nearest_[size(x)] = u;
  }
  void find_nearest(int x) {
    nearest_[size(x)] = kNobody;
    for (int u = 0; u < n_; ++u) {
      if (base_[size(u)] != x && level_[size(base_[size(u)])] == Level::even) note_nearest(u, x);
    }
  }
  void enqueue(int x) {
    if (!is_blossom(x)) {
      queue_.push_back(x);
    } else {
      for (const int part : ring_[size(x)]) enqueue(part);
    }
  }
  void set_base(int x, int b) {
    base_[size(x)] = b;
    if (!is_blossom(x)) return;
    for (const int part : ring_[size(x)]) set_base(part, b);
  }

  /// Position of `part` in the blossom's ring, turned so that it is reached from the front by an even number of steps.
  std::size_t even_position(int blossom, int part) {
    auto& ring = ring_[size(blossom)];
    const auto position = static_cast<std::size_t>(std::find(ring.begin(), ring.end(), part) - ring.begin());
    if (position % 2 == 0) return position;
    std::reverse(ring.begin() + 1, ring.end());
    return ring.size() - position;
  }

  /// Matches node x along its edge to y, and the inside of blossoms accordingly.
  void set_mate(int x, int y) {
    const Edge e = edge(x, y);
    mate_[size(x)] = e.to;
    if (!is_blossom(x)) return;
    const int part = child(x, e.from);
    const std::size_t position = even_position(x, part);
    auto& ring = ring_[size(x)];
    for (std::size_t i = 0; i < position; ++i) set_mate(ring[i], ring[i ^ 1]);
    set_mate(part, y);
    std::rotate(ring.begin(), ring.begin() + static_cast<std::ptrdiff_t>(position), ring.end());
  }

  void augment(int x, int y) {
    for (;;) {
      const int mate = mate_[size(x)];
      const int next = mate == kNobody ? kNobody : base_[size(mate)];
      set_mate(x, y);
      if (next == kNobody) return;
      const int above = base_[size(parent_[size(next)])];
      set_mate(next, above);
      x = above;
      y = next;
    }
  }

  int common_ancestor(int x, int y) {
    ++visit_;
    while (x != kNobody || y != kNobody) {
      if (x != kNobody) {
        if (visited_[size(x)] == visit_) return x;
        visited_[size(x)] = visit_;
        x = grandparent(x);
      }
      std::swap(x, y);
    }
    return kNobody;
  }
  int grandparent(int x) {
    const int mate = mate_[size(x)];
    if (mate == kNobody) return kNobody;
    return base_[size(parent_[size(base_[size(mate)])])];
  }

  void shrink(int x, int top, int y) {
    int b = n_;
    while (b < nodes_ && base_[size(b)] != kNobody) ++b;
    nodes_ = std::max(nodes_, b + 1);
    dual_[size(b)] = 0;
    level_[size(b)] = Level::even;
    mate_[size(b)] = mate_[size(top)];
    auto& ring = ring_[size(b)];
    ring.assign(1, top);
    const auto climb = [&](int from) {
      for (int node = from; node != top;) {
        const int odd = base_[size(mate_[size(node)])];
        ring.push_back(node);
        ring.push_back(odd);
        enqueue(odd);
        node = base_[size(parent_[size(odd)])];
      }
    };
    climb(x);
    std::reverse(ring.begin() + 1, ring.end());
    climb(y);
    set_base(b, b);
    for (int v = 0; v < n_; ++v) child(b, v) = kNobody;
    for (int z = 0; z < nodes_; ++z) edge(b, z) = edge(z, b) = {};
    for (const int part : ring) {
      for (int z = 0; z < nodes_; ++z) {
        if (edge(part, z).from == kNobody) continue;
        if (edge(b, z).from == kNobody || slack(edge(part, z)) < slack(edge(b, z))) {
          edge(b, z) = edge(part, z);
          edge(z, b) = edge(z, part);
        }
      }
      for (int v = 0; v < n_; ++v) {
        if (is_blossom(part) ? child(part, v) != kNobody : part == v) child(b, v) = part;
      }
    }
    find_nearest(b);
  }

  void expand(int b) {
    const std::vector<int> ring = ring_[size(b)];
    for (const int part : ring) set_base(part, part);
    const int entry = child(b, edge(b, parent_[size(b)]).from);
    const std::size_t position = even_position(b, entry);
    const std::vector<int> turned = ring_[size(b)];
    for (std::size_t i = 0; i < position; i += 2) {
      const int odd = turned[i], even = turned[i + 1];
      parent_[size(odd)] = edge(even, odd).from;
      level_[size(odd)] = Level::odd;
      level_[size(even)] = Level::even;
      nearest_[size(odd)] = kNobody;
      find_nearest(even);
      enqueue(even);
    }
    level_[size(entry)] = Level::odd;
    parent_[size(entry)] = parent_[size(b)];
    for (std::size_t i = position + 1; i < turned.size(); ++i) {
      level_[size(turned[i])] = Level::free;
      find_nearest(turned[i]);
    }
    base_[size(b)] = kNobody;
  }

  /// A tight edge from an even vertex. Returns whether it led to an augmentation.
  bool take(const Edge& e) {
    const int x = base_[size(e.from)], y = base_[size(e.to)];
    if (level_[size(y)] == Level::free) {
      parent_[size(y)] = e.from;
      level_[size(y)] = Level::odd;
      const int next = base_[size(mate_[size(y)])];
      nearest_[size(y)] = nearest_[size(next)] = kNobody;
      level_[size(next)] = Level::even;
      enqueue(next);
    } else if (level_[size(y)] == Level::even) {
      const int top = common_ancestor(x, y);
      if (top == kNobody) {
        augment(x, y);
        augment(y, x);
        return true;
      }
      shrink(x, top, y);
    }
    return false;
  }

  std::int64_t largest_change() {
    std::int64_t change = std::numeric_limits<std::int64_t>::max();
    for (int x = 0; x < nodes_; ++x) {
      if (!is_base(x)) continue;
      const Level level = level_[size(x)];
      if (is_blossom(x) && level == Level::odd) change = std::min(change, dual_[size(x)] / 2);
      if (nearest_[size(x)] == kNobody || level == Level::odd) continue;
      const std::int64_t gap = slack(edge(nearest_[size(x)], x));
      change = std::min(change, level == Level::free ? gap : gap / 2);
    }
    return change;
  }

  void change_duals(std::int64_t change) {
    for (int u = 0; u < n_; ++u) {
      const Level level = level_[size(base_[size(u)])];
      if (level == Level::even) dual_[size(u)] -= change;
      if (level == Level::odd) dual_[size(u)] += change;
    }
    for (int b = n_; b < nodes_; ++b) {
      if (!is_base(b)) continue;
      if (level_[size(b)] == Level::even) dual_[size(b)] += 2 * change;
      if (level_[size(b)] == Level::odd) dual_[size(b)] -= 2 * change;
    }
  }

  /// Grows trees until one augmentation; false when the matching is perfect.
  bool stage() {
    queue_.clear();
    std::fill(level_.begin(), level_.end(), Level::free);
    std::fill(nearest_.begin(), nearest_.end(), kNobody);
    for (int x = 0; x < nodes_; ++x) {
      if (!is_base(x) || mate_[size(x)] != kNobody) continue;
      parent_[size(x)] = kNobody;
      level_[size(x)] = Level::even;
      enqueue(x);
    }
    if (queue_.empty()) return false;
    for (;;) {
      for (std::size_t head = 0; head < queue_.size(); ++head) {
        const int u = queue_[head];
        if (level_[size(base_[size(u)])] == Level::odd) continue;
        for (int v = 0; v < n_; ++v) {
          if (base_[size(v)] == base_[size(u)]) continue;
          if (slack({u, v}) == 0) {
            if (take({u, v})) return true;
          } else {
            note_nearest(u, base_[size(v)]);
          }
        }
      }
      queue_.clear();
      change_duals(largest_change());
      for (int x = 0; x < nodes_; ++x) {
        const int u = nearest_[size(x)];
        if (!is_base(x) || u == kNobody || base_[size(u)] == x || slack(edge(u, x)) != 0) continue;
        if (take(edge(u, x))) return true;
      }
      for (int b = n_; b < nodes_; ++b) {
        if (is_base(b) && level_[size(b)] == Level::odd && dual_[size(b)] == 0) expand(b);
      }
    }
  }

  int n_, nodes_;
  std::span<const std::int64_t> weights_;
  std::vector<std::int64_t> dual_;
  std::vector<Edge> edge_;    // the tightest edge between two nodes
  std::vector<int> mate_;     // vertex at the other end of the matched edge
  std::vector<int> base_;     // kNobody: blossom number not in use
  std::vector<int> parent_;   // vertex above an odd node in its tree
  std::vector<int> nearest_;  // even vertex with the least slack to this node
  std::vector<int> visited_;
  std::vector<Level> level_;
  std::vector<std::vector<int>> ring_;  // of a blossom: its parts in order around the cycle, the stem first
  std::vector<int> child_of_;           // which part of a blossom holds a vertex
  std::vector<int> queue_;
  int visit_ = 0;
};

}  // namespace

std::vector<int> minimum_perfect_matching(int n, std::span<const std::int64_t> weights) {
  return Matcher(n, weights).run();
}

}  // namespace qcqa
