#include "search/search_instances.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#include <nlohmann/json.hpp>

namespace qcqa::test {
namespace {

using Rows = std::vector<std::vector<float>>;  // one flattened head each

PairwiseCost cost_between(const Rows& k, const Rows& v) {
  const auto distances = [](const Rows& heads) {
    std::vector<double> result;
    for (const auto& a : heads) {
      for (const auto& b : heads) {
        double sum = 0;
        for (std::size_t i = 0; i < a.size(); ++i) {
          const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
          sum += difference * difference;
        }
        result.push_back(sum);
      }
    }
    return result;
  };
  return PairwiseCost(static_cast<int>(k.size()), distances(k), distances(v));
}

// A float32 tensor of [heads * d, D], cut into heads. The file is known to be well formed.
Rows read_heads(std::ifstream& file, const nlohmann::json& header, std::size_t data_start, const std::string& name,
                std::size_t heads) {
  const auto begin = header.at(name).at("data_offsets").at(0).get<std::size_t>();
  const auto end = header.at(name).at("data_offsets").at(1).get<std::size_t>();
  Rows result(heads, std::vector<float>((end - begin) / sizeof(float) / heads));
  file.seekg(static_cast<std::streamoff>(data_start + begin));
  for (auto& head : result) {
    file.read(reinterpret_cast<char*>(head.data()), static_cast<std::streamsize>(head.size() * sizeof(float)));
  }
  return result;
}

std::vector<double> symmetric(int n, const std::function<double(int, int)>& value) {
  std::vector<double> d(static_cast<std::size_t>(n * n), 0);
  for (int i = 0; i < n; ++i) {
    for (int j = i + 1; j < n; ++j)
      d[static_cast<std::size_t>(i * n + j)] = d[static_cast<std::size_t>(j * n + i)] = value(i, j);
  }
  return d;
}

}  // namespace

double uniform(Rng& rng) { return rng.below(1 << 30) / static_cast<double>(1 << 30); }

PairwiseCost random_cost(Rng& rng, int heads, int dimensions) {
  const auto points = [&] {
    Rows rows(static_cast<std::size_t>(heads), std::vector<float>(static_cast<std::size_t>(dimensions)));
    for (auto& row : rows) {
      for (auto& x : row) x = static_cast<float>(rng.between(-1000, 1000)) / 100.0f;
    }
    return rows;
  };
  const Rows k = points();
  return cost_between(k, points());
}

std::vector<double> nasty_distances(Rng& rng, int n, int kind) {
  switch (kind % kNastyKinds) {
    case 0: {
      const auto cost = random_cost(rng, n);
      return {cost.distances().begin(), cost.distances().end()};
    }
    case 1:  // not Euclidean, not even metric
      return symmetric(n, [&](int, int) { return uniform(rng); });
    case 2:  // all equal
      return symmetric(n, [&](int, int) { return 3.25; });
    case 3:  // near-ties: every grouping of the same sizes costs nearly the same
      return symmetric(n, [&](int, int) { return 1 + 1e-13 * rng.below(3); });
    case 4:
      return symmetric(n, [&](int, int) { return 1e6 + 1e-6 * uniform(rng); });
    case 5:  // zeros: copies of heads
      return symmetric(n, [&](int i, int j) { return (i - j) % 3 == 0 ? 0.0 : 1.0 + (i % 3) + (j % 3); });
    case 6:  // huge differences of scale
      return symmetric(n, [&](int, int) { return std::exp(60 * (uniform(rng) - 0.5)); });
    case 7:  // nearly orthogonal heads, as in real models
      return symmetric(n, [&](int i, int j) { return 10 + i * i + j * j + 0.1 * uniform(rng); });
    case 8:  // mostly zero
      return symmetric(n, [&](int, int) { return rng.below(4) == 0 ? uniform(rng) : 0.0; });
    default:  // tiny and whole numbers: exact ties
      return symmetric(n, [&](int, int) { return 1e-200 * rng.below(4); });
  }
}

std::optional<std::vector<PairwiseCost>> stories15m_costs() {
  std::ifstream file(std::filesystem::path(QCQA_SHARED_DIR) / "models/stories15M/model.safetensors", std::ios::binary);
  if (!file) return std::nullopt;
  std::uint64_t length = 0;
  file.read(reinterpret_cast<char*>(&length), sizeof length);
  std::string text(length, ' ');
  file.read(text.data(), static_cast<std::streamsize>(length));
  const auto header = nlohmann::json::parse(text);
  std::vector<PairwiseCost> costs;
  for (int layer = 0; layer < 6; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".self_attn.";
    const Rows k = read_heads(file, header, 8 + length, prefix + "k_proj.weight", 6);
    costs.push_back(cost_between(k, read_heads(file, header, 8 + length, prefix + "v_proj.weight", 6)));
  }
  return costs;
}

std::optional<PairwiseCost> codellama_cost(const std::string& layer) {
  std::ifstream file(std::filesystem::path(QCQA_SHARED_DIR) / "data/codellama-13b-head-distances.json");
  if (!file) return std::nullopt;
  const auto document = nlohmann::json::parse(file);
  const auto distances = [&](const char* part) {
    std::vector<double> result;
    for (const auto& row : document.at("layers").at(layer).at(part).at("dist")) {
      for (const auto& value : row) result.push_back(value.get<double>());
    }
    return result;
  };
  return PairwiseCost(document.at("num_heads").get<int>(), distances("k"), distances("v"));
}

std::vector<const GroupCost*> pointers(const std::vector<PairwiseCost>& costs) {
  std::vector<const GroupCost*> result;
  for (const auto& cost : costs) result.push_back(&cost);
  return result;
}

void for_each_partition(int heads, const std::function<void(const Grouping&)>& visit) {
  std::vector<int> labels(static_cast<std::size_t>(heads), 0);
  const std::function<void(std::size_t, int)> extend = [&](std::size_t h, int groups) {
    if (h == labels.size()) return visit(Grouping::from_labels(labels));
    for (int g = 0; g <= groups; ++g) {
      labels[h] = g;
      extend(h + 1, std::max(groups, g + 1));
    }
  };
  extend(0, 0);
}

std::vector<double> best_by_total(const std::vector<std::vector<LayerOption>>& options) {
  constexpr double kNone = std::numeric_limits<double>::infinity();
  std::vector<double> best{0.0};
  for (const auto& layer : options) {
    std::vector<double> next(best.size() + static_cast<std::size_t>(layer.back().groups), kNone);
    for (std::size_t total = 0; total < best.size(); ++total) {
      for (const auto& o : layer) {
        double& cost = next[total + static_cast<std::size_t>(o.groups)];
        cost = std::min(cost, best[total] + o.cost);
      }
    }
    best = std::move(next);
  }
  return best;
}

}  // namespace qcqa::test
