#include "model/rope_keys.hpp"

#include <algorithm>
#include <string_view>

#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

using nlohmann::ordered_json;

const char* layer_type(LayerRotary rotary) {
  return rotary == LayerRotary::windowed ? "sliding_attention" : "full_attention";
}

}  // namespace

RopeKeys::RopeKeys(const ModelConfig& config, LayerRotary of)
    : config_(config),
      names_(*config.architecture().attention.rotary),
      theta_(of == LayerRotary::windowed ? *names_.windowed_theta : names_.theta) {
  if (names_.theta.key.empty()) return;  // the class reads none of them
  bool is_scaling = false;
  for (const char* name : {"rope_scaling", "rope_parameters"}) {
    const auto it = config.json().find(name);
    if (it != config.json().end() && it->is_object() && !it->empty()) {
      keys_ = *it;
      is_scaling = std::string_view(name) == "rope_scaling";
      break;
    }
  }
  if (names_.must_be_scaled && keys_.empty())
    unsupported("\"rope_parameters\": without them the class has a scaling of its own", "none");
  const auto nested = std::ranges::find_if(keys_, [](const ordered_json& value) { return value.is_object(); });
  if (nested == keys_.end()) {
    // Classes with two embeddings take a scaling for that of the other layers, by the new spelling of its kind, and
    // look up both by name in rope_parameters.
    const bool counts = of == LayerRotary::main && is_scaling && has("rope_type");
    if (names_.windowed_theta && !counts) keys_ = ordered_json::object();
  } else if (!names_.windowed_theta) {
    unsupported("one rotary embedding for all layers", "one for " + nested.key());
  } else {
    const ordered_json own = keys_.value(layer_type(of), ordered_json());
    keys_ = own.is_object() ? own : ordered_json::object();
  }
}

std::string RopeKeys::kind() const {
  for (const char* key : {"rope_type", "type"}) {
    if (!has(key)) continue;
    const std::string name = config_.as<std::string>(keys_[key], key);
    const auto alias = names_.aliases.find(name);
    return alias == names_.aliases.end() ? name : alias->second;
  }
  return "default";
}

double RopeKeys::theta() const {
  const double theta = number("rope_theta", theta_);
  if (!(theta > 0)) unsupported("a positive theta of the rotary embedding", nlohmann::json(theta).dump());
  return theta;
}

double RopeKeys::share() const {
  if (!names_.share.key.empty()) return number("partial_rotary_factor", names_.share);
  if (kind() == "default") return 1;  // without a scaling, the classes that rotate whole heads do not look at it
  const double share = number("partial_rotary_factor", Setting<double>{"partial_rotary_factor", 1, 1});
  if (share != 1) unsupported("whole heads rotated in this family", nlohmann::json(share).dump());
  return share;
}

int RopeKeys::dim() const {
  const int head_dim = config_.shape().head_dim;
  // Where a family has both keys, the share comes first.
  const std::string& share_key = names_.share.key;
  const bool has_share = !share_key.empty() && (has("partial_rotary_factor") || config_.json().contains(share_key));
  const int stated = has_share ? 0 : config_.value(names_.dims);
  const double part = stated > 0 ? static_cast<double>(stated) / head_dim : share();
  const int dim = stated > 0 ? stated : static_cast<int>(head_dim * part);
  if (!(part > 0 && part <= 1) || dim < 2 || dim % 2 != 0)
    unsupported("an even number of rotated dimensions", std::to_string(dim) + " dimensions");
  return dim;
}

double RopeKeys::number(const char* key, double fallback) const {
  const auto it = keys_.find(key);
  return it == keys_.end() || it->is_null() ? fallback : config_.as<double>(*it, key);
}

double RopeKeys::number(const char* key, const Setting<double>& beside) const {
  const auto it = keys_.find(key);
  return it == keys_.end() ? config_.value(beside) : config_.as<double>(*it, key);
}

double RopeKeys::number(const char* key) const {
  const double value = number(key, 0);
  if (!(value > 0))
    throw Error(ErrorKind::corrupt, file(), std::string("the rotary scaling needs a positive \"") + key + "\"", "none");
  return value;
}

bool RopeKeys::flag(const char* key, bool fallback) const {
  return has(key) ? config_.as<bool>(keys_[key], key) : fallback;
}

std::vector<double> RopeKeys::numbers(const char* key, std::size_t count) const {
  const auto it = keys_.find(key);
  const bool fits = it != keys_.end() && it->is_array() && it->size() == count &&
                    std::ranges::all_of(*it, [](const ordered_json& value) { return value.is_number(); });
  if (!fits) {
    throw Error(ErrorKind::corrupt, file(),
                std::string("\"") + key + "\" must hold " + std::to_string(count) + " numbers");
  }
  return it->get<std::vector<double>>();
}

double RopeKeys::original_positions() const {
  const double beside = config_.value(names_.original_positions);
  return beside > 0 ? beside : number("original_max_position_embeddings", max_positions());
}

void RopeKeys::unsupported(const std::string& rule, const std::string& found) const {
  throw Error(ErrorKind::unsupported, file(), "needs " + rule, found);
}

}  // namespace qcqa
