#include "model/biases.hpp"

#include <algorithm>

namespace qcqa {
namespace {

/// Calls visit(setting, member of Biases) for every linear layer.
template <typename Visit>
void for_each_bias(const Architecture& architecture, const Visit& visit) {
  for (const Projection& projection : architecture.projections) visit(projection.bias, &Biases::projections);
  visit(architecture.output_bias, &Biases::output);
  if (architecture.forward) visit(architecture.forward->mlp_bias, &Biases::mlp);
}

}  // namespace

Biases biases_of(const ModelConfig& config) {
  Biases biases;
  for_each_bias(config.architecture(), [&](const Setting<bool>& setting, bool Biases::*member) {
    biases.*member = biases.*member || config.value(setting);
  });
  return biases;
}

BiasSettings settings_for(const Architecture& architecture, const Biases& wanted) {
  BiasSettings settings;
  const auto entry = [&](const std::string& key) {
    return std::ranges::find(settings.keys, key, &std::pair<std::string, bool>::first);
  };
  for_each_bias(architecture, [&](const Setting<bool>& setting, bool Biases::*member) {
    if (setting.key.empty()) return;
    if (entry(setting.key) == settings.keys.end()) settings.keys.emplace_back(setting.key, false);
    bool& value = entry(setting.key)->second;
    value = value || wanted.*member;
  });
  for_each_bias(architecture, [&](const Setting<bool>& setting, bool Biases::*member) {
    const bool value = setting.key.empty() ? setting.fallback : entry(setting.key)->second;
    settings.biases.*member = settings.biases.*member || value;
  });
  return settings;
}

}  // namespace qcqa
