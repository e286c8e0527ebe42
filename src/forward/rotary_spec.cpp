#include "forward/rotary_spec.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "model/rope_keys.hpp"

// Frequencies are computed in float32 in the order of operations of the model classes: at position 8000 one more bit in
// a frequency would be a visible difference.

namespace qcqa {
namespace {

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
void scale_longrope(const RopeKeys& keys, bool states_magnitudes, RotarySpec& rotary) {
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
  rotary.long_magnitude = rotary.magnitude;
  if (!states_magnitudes) return;
  rotary.magnitude = keys.number("short_mscale");
  rotary.long_magnitude = keys.number("long_mscale");
  rotary.long_frequencies = rotary.frequencies;
}

}  // namespace

RotarySpec read_rotary_spec(const ModelConfig& config, LayerRotary which) {
  const RopeKeys keys(config, which);
  const std::string kind = keys.kind();
  RotarySpec rotary;
  rotary.theta = keys.theta();
  rotary.dim = keys.dim();
  const RotaryDescription& description = *config.architecture().attention.rotary;
  rotary.neighbours = description.neighbours;
  if (description.scales_queries) {
    if (!keys.has("llama_4_scaling_beta"))
      keys.unsupported("\"llama_4_scaling_beta\" beside the rotary scaling", "none");
    rotary.query_growth = keys.number("llama_4_scaling_beta", 0);
    rotary.query_period = keys.original_positions();
  }
  // "dynamic" in the checkpoints of Hunyuan, though it is the same for sequences of any length.
  const bool has_alpha = kind == "ntk_alpha" && keys.has("alpha");
  if (has_alpha) {
    rotary.theta *= std::pow(keys.number("alpha"), static_cast<double>(rotary.dim) / (rotary.dim - 2));
  }
  if (description.states_magnitudes && kind != "default" && kind != "longrope")
    keys.unsupported("a rotary scaling of the kinds default and longrope to be run", kind);
  rotary.frequencies = plain_frequencies(rotary.theta, rotary.dim);
  if (kind == "linear") {
    for (float& frequency : rotary.frequencies) frequency /= static_cast<float>(keys.number("factor"));
  } else if (kind == "llama3") {
    scale_llama3(keys, rotary.frequencies);
  } else if (kind == "yarn") {
    scale_yarn(keys, rotary.theta, rotary);
  } else if (kind == "longrope") {
    scale_longrope(keys, description.states_magnitudes, rotary);
  } else if (kind == "dynamic" || (kind == "ntk_alpha" && !has_alpha)) {
    rotary.kind = RotarySpec::Kind::dynamic;
    rotary.switch_length = static_cast<int>(std::min(keys.max_positions(), 1e9));
  } else if (kind != "default" && !has_alpha) {
    keys.unsupported("a rotary scaling of the kinds default, linear, dynamic, llama3, yarn and longrope to be run",
                     kind);
  }
  return rotary;
}

}  // namespace qcqa
