#include "forward/rotary_spec.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "qcqa/support/error.hpp"

// Frequencies are computed in float32 in the order of operations of the model classes: at position 8000 one more bit in
// a frequency would be a visible difference.

namespace qcqa {
namespace {

using nlohmann::ordered_json;

/// rope_parameters or rope_scaling, whichever is there, with the keys beside it as fallbacks.
class RopeKeys {
 public:
  explicit RopeKeys(const ModelConfig& config) : config_(config) {
    for (const char* name : {"rope_scaling", "rope_parameters"}) {
      const auto it = config.json().find(name);
      if (it != config.json().end() && it->is_object() && !it->empty()) {
        keys_ = *it;
        break;
      }
    }
    for (const auto& [key, value] : keys_.items()) {
      if (value.is_object()) unsupported("one rotary embedding for all layers", "one for " + key);
    }
  }

  [[nodiscard]] double number(const char* key, double fallback) const {
    const auto it = keys_.find(key);
    return it == keys_.end() || it->is_null() ? fallback : config_.as<double>(*it, key);
  }
  /// A key that the class wants here, or beside the scaling; null stands for nothing, as in the class.
  [[nodiscard]] double number(const char* key, const Setting<double>& beside) const {
    const auto it = keys_.find(key);
    return it == keys_.end() ? config_.value(beside) : config_.as<double>(*it, key);
  }
  [[nodiscard]] double number(const char* key) const {
    const double value = number(key, 0);
    if (!(value > 0))
      throw Error(ErrorKind::corrupt, file(), std::string("the rotary scaling needs a positive \"") + key + "\"",
                  "none");
    return value;
  }
  [[nodiscard]] bool flag(const char* key, bool fallback) const {
    return has(key) ? config_.as<bool>(keys_[key], key) : fallback;
  }
  [[nodiscard]] bool has(const char* key) const { return keys_.contains(key) && !keys_[key].is_null(); }
  [[nodiscard]] std::vector<double> numbers(const char* key, std::size_t count) const {
    const auto it = keys_.find(key);
    const bool fits = it != keys_.end() && it->is_array() && it->size() == count &&
                      std::ranges::all_of(*it, [](const ordered_json& value) { return value.is_number(); });
    if (!fits) {
      throw Error(ErrorKind::corrupt, file(),
                  std::string("\"") + key + "\" must hold " + std::to_string(count) + " numbers");
    }
    return it->get<std::vector<double>>();
  }
  [[nodiscard]] std::string kind() const {
    for (const char* key : {"rope_type", "type"}) {
      if (has(key)) return config_.as<std::string>(keys_[key], key);
    }
    return "default";
  }
  /// The key beside the scaling comes first: Phi-3 keeps the trained length there.
  [[nodiscard]] double original_positions() const {
    const double beside = config_.value(config_.architecture().forward->rotary_original_positions);
    return beside > 0 ? beside : number("original_max_position_embeddings", max_positions());
  }
  [[nodiscard]] double max_positions() const { return config_.shape().max_positions; }
  [[noreturn]] void unsupported(const std::string& rule, const std::string& found) const {
    throw Error(ErrorKind::unsupported, file(), "evaluation supports " + rule, found);
  }

 private:
  [[nodiscard]] std::string file() const { return config_.file().string(); }

  const ModelConfig& config_;
  ordered_json keys_ = ordered_json::object();
};

std::vector<float> plain_frequencies(double theta, int dim) {
  std::vector<float> out;
  for (int i = 0; i < dim; i += 2) {
    out.push_back(1.0F / std::pow(static_cast<float>(theta), static_cast<float>(i) / static_cast<float>(dim)));
  }
  return out;
}

/// Llama 3.1: long waves are stretched, short ones kept, those between interpolated.
void scale_llama3(const RopeKeys& keys, std::vector<float>& frequencies) {
  const double factor = keys.number("factor");
  const double low = keys.number("low_freq_factor");
  const double high = keys.number("high_freq_factor");
  const double positions = keys.original_positions();
  for (float& frequency : frequencies) {
    const double wave = 2 * std::numbers::pi / frequency;
    const double smooth = (positions / wave - low) / (high - low);
    if (wave > positions / low) {
      frequency = static_cast<float>(frequency / factor);
    } else if (wave >= positions / high) {
      frequency = static_cast<float>((1 - smooth) * frequency / factor + smooth * frequency);
    }
  }
}

/// YaRN (Peng et al., "YaRN: Efficient Context Window Extension of Large Language Models", arXiv 2309.00071, section
/// 3).
void scale_yarn(const RopeKeys& keys, double theta, RotarySpec& rotary) {
  const double positions = keys.original_positions();
  const double factor = keys.has("factor") ? keys.number("factor") : keys.max_positions() / positions;
  const auto magnitude = [&](double weight) { return factor <= 1 ? 1.0 : 0.1 * weight * std::log(factor) + 1; };
  const double weight = keys.number("mscale", 0);
  const double weight_all = keys.number("mscale_all_dim", 0);
  rotary.magnitude = weight > 0 && weight_all > 0 ? magnitude(weight) / magnitude(weight_all) : magnitude(1);
  rotary.magnitude = keys.number("attention_factor", rotary.magnitude);
  const auto plane_of = [&](double rotations) {
    return rotary.dim * std::log(positions / (rotations * 2 * std::numbers::pi)) / (2 * std::log(theta));
  };
  double low = plane_of(keys.number("beta_fast", 32));
  double high = plane_of(keys.number("beta_slow", 1));
  if (keys.flag("truncate", true)) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, rotary.dim - 1.0);
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < rotary.frequencies.size(); ++i) {
    const double stretched = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    const double frequency = rotary.frequencies[i];
    rotary.frequencies[i] = static_cast<float>(frequency / factor * stretched + frequency * (1 - stretched));
  }
}

/// LongRoPE (Ding et al., arXiv 2402.13753), as Phi-3 uses it: two sets of factors, by the length of the sequence.
void scale_longrope(const RopeKeys& keys, RotarySpec& rotary) {
  const std::size_t planes = rotary.frequencies.size();
  const double positions = keys.original_positions();
  const double factor = keys.has("factor") ? keys.number("factor") : keys.max_positions() / positions;
  rotary.magnitude = factor <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(positions));
  rotary.magnitude = keys.number("attention_factor", rotary.magnitude);
  rotary.kind = RotarySpec::Kind::longrope;
  rotary.switch_length = static_cast<int>(std::min(positions, 1e9));
  const auto long_factors = keys.numbers("long_factor", planes);
  const auto short_factors = keys.numbers("short_factor", planes);
  rotary.long_frequencies = rotary.frequencies;
  for (std::size_t i = 0; i < planes; ++i) {
    rotary.long_frequencies[i] /= static_cast<float>(long_factors[i]);
    rotary.frequencies[i] /= static_cast<float>(short_factors[i]);
  }
}

}  // namespace

RotarySpec read_rotary_spec(const ModelConfig& config) {
  const ForwardDescription& names = *config.architecture().forward;
  const RopeKeys keys(config);
  std::string kind = keys.kind();
  if (const auto alias = names.rotary_aliases.find(kind); alias != names.rotary_aliases.end()) kind = alias->second;
  RotarySpec rotary;
  rotary.theta = keys.number("rope_theta", names.rotary_theta);
  const double theta = rotary.theta;
  double share = 1;
  if (!names.rotary_share.key.empty()) {
    share = keys.number("partial_rotary_factor", names.rotary_share);
  } else if (kind != "default") {  // without a scaling, the classes that rotate whole heads do not look at it
    share = keys.number("partial_rotary_factor", Setting<double>{"partial_rotary_factor", 1, 1});
    if (share != 1) keys.unsupported("whole heads rotated in this family", nlohmann::json(share).dump());
  }
  rotary.dim = static_cast<int>(config.shape().head_dim * share);
  if (!(theta > 0) || !(share > 0 && share <= 1) || rotary.dim < 2 || rotary.dim % 2 != 0) {
    keys.unsupported("a positive theta and an even number of rotated dimensions",
                     "theta " + nlohmann::json(theta).dump() + ", " + std::to_string(rotary.dim) + " dimensions");
  }
  rotary.frequencies = plain_frequencies(theta, rotary.dim);
  if (kind == "linear") {
    for (float& frequency : rotary.frequencies) frequency /= static_cast<float>(keys.number("factor"));
  } else if (kind == "llama3") {
    scale_llama3(keys, rotary.frequencies);
  } else if (kind == "yarn") {
    scale_yarn(keys, theta, rotary);
  } else if (kind == "longrope") {
    scale_longrope(keys, rotary);
  } else if (kind == "dynamic") {
    rotary.kind = RotarySpec::Kind::dynamic;
    rotary.switch_length = static_cast<int>(std::min(keys.max_positions(), 1e9));
  } else if (kind != "default") {
    keys.unsupported("the rotary scalings default, linear, dynamic, llama3, yarn and longrope", kind);
  }
  return rotary;
}

}  // namespace qcqa
