#include "qcqa/fitness/distance_file.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>

#include <nlohmann/json.hpp>

#include "checkpoint/json_file.hpp"
#include "checkpoint/json_view.hpp"
#include "qcqa/support/error.hpp"
#include "support/fnv1a.hpp"

namespace qcqa {
namespace {

constexpr int kMostLayers = 1 << 16;
constexpr int kMostSize = 1 << 24;

constexpr const char* kFix = "See `qcqa search --help` for the form.";

int integer(const JsonView& object, const char* key, int otherwise, int most) {
  const auto value = object.find(key);
  return value ? static_cast<int>(value->integer(1, most)) : otherwise;
}

void append_numbers(const JsonView& list, int count, std::vector<double>& numbers) {
  for (const JsonView& value : list.items(static_cast<std::size_t>(count), "head")) {
    numbers.push_back(value.number(-std::numeric_limits<double>::infinity()));
  }
}

std::vector<double> matrix(const JsonView& part, int heads) {
  std::vector<double> numbers;
  for (const JsonView& row : part.at("dist").items(static_cast<std::size_t>(heads), "head")) {
    append_numbers(row, heads, numbers);
  }
  return numbers;
}

PairwiseCost read_layer(const JsonView& entry, int heads) {
  const JsonView keys = entry.at("k");
  std::vector<double> k = matrix(keys, heads);
  const auto values = entry.find("v");
  std::vector<double> v = values ? matrix(*values, heads) : std::vector<double>(k.size(), 0.0);
  std::vector<double> norms;
  if (const auto list = keys.find("norm")) append_numbers(*list, heads, norms);
  try {
    return PairwiseCost(heads, std::move(k), std::move(v), std::move(norms));
  } catch (const Error& error) {
    entry.corrupt(error.what());
  }
}

std::string fingerprint(const DistanceFile& file) {
  Fnv1a hash;
  for (std::size_t l = 0; l < file.layers.size(); ++l) {
    hash.add(std::int64_t{file.layers[l]});
    hash.add(std::as_bytes(file.costs[l].distances_k()));
    hash.add(std::as_bytes(file.costs[l].distances_v()));
  }
  return hash.text();
}

}  // namespace

DistanceFile read_distance_file(const std::filesystem::path& path) {
  const nlohmann::json document = read_json_file(path, "A file of head distances is needed.");
  const JsonView root(document, path.string(), kFix);
  DistanceFile file;
  file.heads = static_cast<int>(root.at("num_heads").integer(1, kMaxKvHeads));
  file.head_dim = integer(root, "head_dim", 1, kMostSize);
  file.hidden_size =
      integer(root, "hidden_size", std::min(kMostSize, file.heads * std::min(file.head_dim, 1 << 16)), kMostSize);
  if (const auto origin = root.find("model"); origin && origin->value().is_string()) file.origin = origin->text();
  const JsonView layers = root.at("layers");
  std::map<int, JsonView> by_key;
  for (const auto& [key, entry] : layers.members()) {
    int number = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), number);
    const bool whole = error == std::errc() && end == key.data() + key.size() && number >= 0 && number < kMostLayers;
    if (!whole || !by_key.try_emplace(number, entry).second) {
      layers.corrupt("a layer's key must be a whole number, each once", key.substr(0, 40));
    }
  }
  if (by_key.empty()) layers.corrupt("must be an object with an entry per layer");
  for (const auto& [key, entry] : by_key) {
    file.layers.push_back(key);
    file.costs.push_back(read_layer(entry, file.heads));
  }
  file.fingerprint = fingerprint(file);
  return file;
}

}  // namespace qcqa
