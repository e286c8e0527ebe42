#include "qcqa/fitness/distance_file.hpp"

#include <algorithm>
#include <charconv>
#include <map>

#include <nlohmann/json.hpp>

#include "checkpoint/json_file.hpp"
#include "qcqa/support/error.hpp"
#include "support/fnv1a.hpp"

namespace qcqa {
namespace {

constexpr int kMostLayers = 1 << 16;
constexpr int kMostSize = 1 << 24;

class Reader {
 public:
  explicit Reader(const std::filesystem::path& file) : where_(file.string()) {}

  [[noreturn]] void fail(const std::string& place, const std::string& rule, const std::string& found = {}) const {
    throw Error(ErrorKind::corrupt, where_ + ": " + place, rule, found, "See `qcqa search --help` for the form.");
  }

  int integer(const nlohmann::json& object, const char* key, int otherwise, int most) const {
    const auto it = object.find(key);
    if (it == object.end()) {
      if (otherwise < 0) fail(key, "is missing");
      return otherwise;
    }
    const bool fits = it->is_number_unsigned() && it->get<std::uint64_t>() >= 1 &&
                      it->get<std::uint64_t>() <= static_cast<std::uint64_t>(most);
    if (!fits) fail(key, "must be an integer from 1 to " + std::to_string(most), it->dump().substr(0, 40));
    return it->get<int>();
  }

  std::vector<double> numbers(const nlohmann::json& array, int count, const std::string& place) const {
    if (!array.is_array() || array.size() != static_cast<std::size_t>(count)) {
      fail(place, "must be an array of num_heads = " + std::to_string(count));
    }
    std::vector<double> result;
    for (const auto& value : array) {
      if (!value.is_number()) fail(place, "must hold numbers", value.dump().substr(0, 40));
      result.push_back(value.get<double>());
    }
    return result;
  }

  std::vector<double> matrix(const nlohmann::json& part, int heads, const std::string& place) const {
    if (!part.is_object() || !part.contains("dist")) fail(place, "needs the key dist");
    const auto& rows = part.at("dist");
    if (!rows.is_array() || rows.size() != static_cast<std::size_t>(heads)) {
      fail(place + "/dist", "must be an array of num_heads = " + std::to_string(heads));
    }
    std::vector<double> result;
    for (const auto& row : rows) {
      const auto values = numbers(row, heads, place + "/dist");
      result.insert(result.end(), values.begin(), values.end());
    }
    return result;
  }

  PairwiseCost layer(const nlohmann::json& entry, int heads, const std::string& place) const {
    if (!entry.is_object() || !entry.contains("k")) fail(place, "needs the key k");
    std::vector<double> norms;
    if (entry.at("k").is_object() && entry.at("k").contains("norm")) {
      norms = numbers(entry.at("k").at("norm"), heads, place + "/k/norm");
    }
    auto k = matrix(entry.at("k"), heads, place + "/k");
    auto v = entry.contains("v") ? matrix(entry.at("v"), heads, place + "/v") : std::vector<double>(k.size(), 0.0);
    try {
      return PairwiseCost(heads, std::move(k), std::move(v), std::move(norms));
    } catch (const Error& error) {
      fail(place, error.what());
    }
  }

 private:
  std::string where_;
};

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
  const Reader reader(path);
  if (!document.is_object()) reader.fail("document", "must be an object", document.type_name());
  DistanceFile file;
  file.heads = reader.integer(document, "num_heads", -1, kMaxKvHeads);
  file.head_dim = reader.integer(document, "head_dim", 1, kMostSize);
  file.hidden_size = reader.integer(document, "hidden_size",
                                    std::min(kMostSize, file.heads * std::min(file.head_dim, 1 << 16)), kMostSize);
  if (document.contains("model") && document.at("model").is_string())
    file.origin = document.at("model").get<std::string>();
  const auto layers = document.find("layers");
  if (layers == document.end() || !layers->is_object() || layers->empty()) {
    reader.fail("layers", "must be an object with an entry per layer");
  }
  std::map<int, const nlohmann::json*> by_key;
  for (const auto& [key, entry] : layers->items()) {
    int number = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), number);
    const bool whole = error == std::errc() && end == key.data() + key.size() && number >= 0 && number < kMostLayers;
    if (!whole || !by_key.try_emplace(number, &entry).second) {
      reader.fail("layers/" + key.substr(0, 40), "a layer's key must be a whole number, each once");
    }
  }
  for (const auto& [key, entry] : by_key) {
    file.layers.push_back(key);
    file.costs.push_back(reader.layer(*entry, file.heads, "layers/" + std::to_string(key)));
  }
  file.fingerprint = fingerprint(file);
  return file;
}

}  // namespace qcqa
