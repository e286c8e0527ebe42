#include "model/mixer_facts.hpp"

#include "qcqa/support/error.hpp"

namespace qcqa {

std::optional<MixerFacts> mixer_facts(const ModelConfig& config) {
  const auto& forward = config.architecture().forward;
  if (!forward || !forward->mixer) return {};
  const MixerDescription& mixer = *forward->mixer;
  MixerFacts facts{.taps = config.value(mixer.taps), .bias = config.value(mixer.bias)};
  if (mixer.kind == MixerKind::short_convolution) return facts;
  facts.key_heads = config.value(mixer.key_heads);
  facts.value_heads = config.value(mixer.value_heads);
  facts.key_dim = config.value(mixer.key_dim);
  facts.value_dim = config.value(mixer.value_dim);
  if (facts.value_heads % facts.key_heads != 0) {
    throw Error(ErrorKind::corrupt, config.file().string(),
                "\"" + mixer.value_heads.key + "\" must be a multiple of \"" + mixer.key_heads.key + "\", " +
                    std::to_string(facts.key_heads),
                std::to_string(facts.value_heads));
  }
  return facts;
}

}  // namespace qcqa
