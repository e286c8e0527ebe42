#include "model/experts_facts.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

void require(const ModelConfig& config, bool fits, const std::string& key, const std::string& rule, double value) {
  if (fits) return;
  throw Error(ErrorKind::corrupt, config.file().string(), "\"" + key + "\" must be " + rule,
              nlohmann::ordered_json(value).dump());
}

int whole(const ModelConfig& config, const Setting<double>& setting, int least) {
  const double value = config.value(setting);
  require(config, value >= least && value <= std::numeric_limits<int>::max() && value == std::floor(value), setting.key,
          "a whole number of at least " + std::to_string(least), value);
  return static_cast<int>(value);
}

/// Layers that config.json lists under the key.
std::set<int> listed(const ModelConfig& config, const std::string& key) {
  std::set<int> layers;
  if (key.empty()) return layers;
  const auto it = config.json().find(key);
  if (it == config.json().end() || it->is_null()) return layers;
  if (!it->is_array())
    throw Error(ErrorKind::corrupt, config.file().string(), "\"" + key + "\" must be a list", it->dump());
  for (const auto& layer : *it) layers.insert(static_cast<int>(config.as<double>(layer, key)));
  return layers;
}

std::vector<bool> layers_with(const ModelConfig& config, const ExpertsDescription& experts) {
  static constexpr int kNone = -1;
  const int first = whole(config, experts.first_layer, 0), last = whole(config, experts.last_layer, kNone);
  const int every = whole(config, experts.every, 1);
  const std::set<int> plain = listed(config, experts.plain_layers);
  std::vector<bool> in_layer;
  for (int layer = 0; layer < config.shape().layers; ++layer) {
    in_layer.push_back(layer >= first && (last == kNone || layer <= last) && (layer + 1) % every == 0 &&
                       !plain.contains(layer));
  }
  return in_layer;
}

}  // namespace

std::optional<ExpertsFacts> experts_facts(const ModelConfig& config) {
  const auto& forward = config.architecture().forward;
  if (!forward || !forward->experts) return {};
  const ExpertsDescription& experts = *forward->experts;
  ExpertsFacts facts;
  facts.in_layer = layers_with(config, experts);
  const bool has_plain = !forward->mlp.up.empty();
  facts.count = whole(config, experts.count, has_plain ? 0 : 1);
  if (facts.count == 0 || std::ranges::none_of(facts.in_layer, [](bool with) { return with; })) return {};
  facts.per_token = whole(config, experts.per_token, 1);
  facts.width = whole(config, experts.width, 1);
  facts.normalised = config.value(experts.normalised);
  facts.least_sum = config.value(experts.least_sum);
  facts.multiplier = config.value(experts.multiplier);
  facts.mixer_tolerance = config.value(experts.mixer_tolerance);
  facts.groups = whole(config, experts.groups, 1);
  facts.groups_per_token = whole(config, experts.groups_per_token, 1);
  require(config, std::isfinite(facts.least_sum), experts.least_sum.key, "a number", facts.least_sum);
  require(config, std::isfinite(facts.mixer_tolerance), experts.mixer_tolerance.key, "a number", facts.mixer_tolerance);
  require(config, std::isfinite(facts.multiplier), experts.multiplier.key, "a number", facts.multiplier);
  require(config, facts.count % facts.groups == 0, experts.groups.key, "a divisor of the number of experts",
          facts.groups);
  require(config, facts.groups_per_token <= facts.groups, experts.groups_per_token.key, "at most the number of groups",
          facts.groups_per_token);
  const int reachable = facts.count / facts.groups * facts.groups_per_token;
  require(config, facts.per_token <= reachable, experts.per_token.key,
          "at most the " + std::to_string(reachable) + " experts that a token may go to", facts.per_token);
  require(config, facts.groups == 1 || facts.count / facts.groups >= 2, experts.groups.key,
          "so few that each has two experts", facts.groups);
  if (!experts.shared.up.empty()) {
    const std::int64_t width =
        std::int64_t{whole(config, experts.shared_width, 0)} * whole(config, experts.shared_count, 0);
    require(config, width <= std::numeric_limits<int>::max(), experts.shared_count.key, "less",
            static_cast<double>(width));
    facts.shared_width = static_cast<int>(width);
  }
  return facts;
}

}  // namespace qcqa
