#include "qcqa/forward/generate.hpp"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>

#include "forward/cached_values.hpp"
#include "forward/for_each_batch.hpp"
#include "forward/mixer.hpp"
#include "forward/transformer.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// Sequences that go through the layers together on a CPU, whatever the number of threads: it decides on the rounding.
constexpr std::size_t kSequencesOnCpu = 128;

/// A layer without heads, and what it remembers of every sequence.
struct MixerLayer {
  LayerWeights weights;
  MixerState state;
};

/// Keys and values of one layer: sequence b has rows [b * capacity, (b + 1) * capacity).
struct LayerCache {
  at::Tensor keys, values;
};

class Decoder {
 public:
  Decoder(const Model& model, const GenerateOptions& options, std::int64_t sequences, std::int64_t capacity)
      : transformer_(model, Runtime::of(options.forward, options.kv_cache)),
        tables_(transformer_.spec().rotary, capacity, transformer_.runtime()),
        capacity_(capacity) {
    transformer_.load_head();
    const auto layers = static_cast<int>(transformer_.model().layers().size());
    for (int layer = 0; layer <= layers; ++layer) {
      std::vector<MixerLayer>& before = mixers_.emplace_back();
      for (LayerWeights& weights : transformer_.load_mixers(layer)) {
        MixerState state = empty_state(*weights.mixer, sequences, transformer_.runtime());
        before.push_back({std::move(weights), std::move(state)});
      }
    }
    for (int layer = 0; layer < layers; ++layer) {
      weights_.push_back(transformer_.load(layer));
      const std::int64_t width = std::int64_t{weights_.back().kv_heads} * weights_.back().head_dim;
      const auto room = [&] { return at::zeros({sequences * capacity, width}, transformer_.runtime().options()); };
      caches_.push_back({room(), room()});
    }
  }

  [[nodiscard]] const Runtime& runtime() const noexcept { return transformer_.runtime(); }

  [[nodiscard]] std::int64_t cache_bytes() const {
    std::int64_t bytes = 0;
    for (const LayerCache& cache : caches_)
      bytes += static_cast<std::int64_t>(cache.keys.nbytes() + cache.values.nbytes());
    return bytes;
  }

  /// Takes `tokens[i]` as the next tokens of sequence `sequences[i]`, which has `lengths[i]` so far.
  /// @returns logits (sequences, vocabulary) after the last of each, on the CPU
  at::Tensor advance(std::span<const std::int64_t> sequences, std::span<const std::int64_t> lengths,
                     std::span<const std::span<const std::int32_t>> tokens) {
    std::vector<std::int32_t> all;
    std::vector<std::int64_t> positions;
    std::vector<std::int64_t> cache_rows;
    std::vector<std::int64_t> last_rows;
    std::vector<AttentionSpan> spans;
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      const auto count = static_cast<std::int64_t>(tokens[i].size());
      const std::int64_t first = sequences[i] * capacity_;
      spans.push_back({static_cast<std::int64_t>(all.size()), count, first, lengths[i] + count});
      for (std::int64_t k = 0; k < count; ++k) {
        positions.push_back(lengths[i] + k);
        cache_rows.push_back(first + lengths[i] + k);
      }
      all.insert(all.end(), tokens[i].begin(), tokens[i].end());
      last_rows.push_back(static_cast<std::int64_t>(all.size()) - 1);
    }
    const Runtime& runtime = transformer_.runtime();
    // The length that a sequence will have in the end decides on its frequencies, so that keys in the cache stay right.
    const RotaryRows rotary = tables_.rows(positions, std::vector<std::int64_t>(positions.size(), capacity_));
    const at::Tensor rows = at::tensor(at::ArrayRef<std::int64_t>(cache_rows)).to(runtime.device);
    const at::Tensor states =
        at::tensor(at::ArrayRef<std::int64_t>(sequences.data(), sequences.size())).to(runtime.device);
    at::Tensor hidden = transformer_.embed(all, positions);
    const auto lead_in = [&](std::size_t layer) {
      for (MixerLayer& mixer : mixers_[layer]) hidden = advance_mixer(mixer, states, spans, hidden);
    };
    for (std::size_t layer = 0; layer < weights_.size(); ++layer) {
      lead_in(layer);
      LayerCache& cache = caches_[layer];
      const AttentionOptions options = transformer_.attention_options(weights_[layer], static_cast<int>(layer));
      const Attend from_cache = [&](const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values) {
        cache.keys.index_copy_(0, rows, as_cached(keys, runtime.kv_cache));
        cache.values.index_copy_(0, rows, as_cached(values, runtime.kv_cache));
        return attend(queries, cache.keys, cache.values, spans, options);
      };
      hidden = run_layer(weights_[layer], transformer_.spec(), transformer_.rotary_of(rotary, static_cast<int>(layer)),
                         from_cache, hidden);
    }
    lead_in(weights_.size());
    const at::Tensor ends =
        hidden.index_select(0, at::tensor(at::ArrayRef<std::int64_t>(last_rows)).to(runtime.device));
    return transformer_.logits(transformer_.final_norm(ends)).to(at::kCPU);
  }

 private:
  /// @param sequences  of the spans
  [[nodiscard]] at::Tensor advance_mixer(MixerLayer& mixer, const at::Tensor& sequences,
                                         const std::vector<AttentionSpan>& spans, const at::Tensor& hidden) const {
    const bool has_memory = mixer.state.memory.defined();
    MixerState own = {mixer.state.past.index_select(0, sequences),
                      has_memory ? mixer.state.memory.index_select(0, sequences) : at::Tensor()};
    at::Tensor out = run_mixer_layer(mixer.weights, transformer_.spec(), spans, hidden, &own);
    mixer.state.past.index_copy_(0, sequences, own.past);
    if (has_memory) mixer.state.memory.index_copy_(0, sequences, own.memory);
    return out;
  }

  Transformer transformer_;
  RotaryTables tables_;
  std::int64_t capacity_;
  std::vector<LayerWeights> weights_;
  std::vector<LayerCache> caches_;
  std::vector<std::vector<MixerLayer>> mixers_;  ///< before each layer with heads, and behind the last
};

/// A token drawn with these probabilities. Written out: the standard's distributions differ between libraries.
std::int32_t draw(const float* probabilities, std::int64_t count, std::mt19937_64& random) {
  double point = static_cast<double>(random() >> 11) * 0x1p-53;
  for (std::int64_t i = 0; i < count; ++i) {
    point -= static_cast<double>(probabilities[i]);
    if (point < 0) return static_cast<std::int32_t>(i);
  }
  // Probabilities add up to one but for rounding.
  return static_cast<std::int32_t>(std::max_element(probabilities, probabilities + count) - probabilities);
}

/// The next token of each row of logits. @param random  one per row
void pick(const at::Tensor& logits, double temperature, std::span<std::mt19937_64* const> random,
          std::span<std::int32_t> tokens) {
  if (temperature <= 0) {
    const at::Tensor top = logits.argmax(-1);
    for (std::size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = static_cast<std::int32_t>(top.data_ptr<std::int64_t>()[i]);
    return;
  }
  const at::Tensor probabilities = at::softmax(logits / temperature, -1).contiguous();
  const std::int64_t vocabulary = logits.size(1);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] =
        draw(probabilities.data_ptr<float>() + static_cast<std::int64_t>(i) * vocabulary, vocabulary, *random[i]);
  }
}

void check(std::span<const std::vector<std::int32_t>> prompts, const GenerateOptions& options) {
  if (options.max_tokens < 1) {
    throw Error(ErrorKind::invalid_argument, "max_tokens", "must be at least 1", std::to_string(options.max_tokens));
  }
  if (prompts.empty() || std::ranges::any_of(prompts, [](const auto& prompt) { return prompt.empty(); })) {
    throw Error(ErrorKind::invalid_argument, "prompt", "must have at least one token", "none");
  }
}

}  // namespace

Generation generate(const Model& model, std::span<const std::vector<std::int32_t>> prompts,
                    const GenerateOptions& options, const std::function<bool(int)>& progress) {
  check(prompts, options);
  const c10::InferenceMode no_gradients;
  std::size_t longest = 0;
  for (const auto& prompt : prompts) longest = std::max(longest, prompt.size());
  const auto capacity = static_cast<std::int64_t>(longest) + options.max_tokens;
  const auto count = static_cast<std::int64_t>(prompts.size());
  Decoder decoder(model, options, count, capacity);

  Generation generation;
  generation.tokens.resize(prompts.size());
  generation.kv_cache_bytes = decoder.cache_bytes();
  generation.kv_cache_positions = count * capacity;
  std::vector<std::mt19937_64> random;
  std::vector<std::int64_t> active;
  std::vector<std::int64_t> lengths(prompts.size(), 0);
  std::vector<std::span<const std::int32_t>> next;
  for (std::int64_t i = 0; i < count; ++i) {
    std::seed_seq seed{static_cast<std::uint32_t>(options.seed), static_cast<std::uint32_t>(options.seed >> 32),
                       static_cast<std::uint32_t>(i)};
    random.emplace_back(seed);
    active.push_back(i);
    next.emplace_back(prompts[static_cast<std::size_t>(i)]);
  }
  int steps = 0;
  const auto begin = std::chrono::steady_clock::now();
  while (!active.empty()) {
    std::vector<std::int64_t> so_far;
    for (const std::int64_t sequence : active) so_far.push_back(lengths[static_cast<std::size_t>(sequence)]);
    std::vector<std::mt19937_64*> generators;
    for (const std::int64_t sequence : active) generators.push_back(&random[static_cast<std::size_t>(sequence)]);
    std::vector<std::int32_t> picked(active.size());
    const std::size_t together = decoder.runtime().device.is_cpu() ? kSequencesOnCpu : active.size();
    for_each_batch(decoder.runtime(), (active.size() + together - 1) / together, [&](std::size_t part) {
      const std::size_t first = part * together;
      const std::size_t some = std::min(together, active.size() - first);
      const auto of_part = [&](auto& all) { return std::span(all).subspan(first, some); };
      pick(decoder.advance(of_part(active), of_part(so_far), of_part(next)), options.temperature, of_part(generators),
           of_part(picked));
    });
    std::vector<std::int64_t> still_active;
    for (std::size_t i = 0; i < active.size(); ++i) {
      const auto sequence = static_cast<std::size_t>(active[i]);
      lengths[sequence] += static_cast<std::int64_t>(next[i].size());
      auto& tokens = generation.tokens[sequence];
      tokens.push_back(picked[i]);
      const bool stopped = std::ranges::find(options.stop, tokens.back()) != options.stop.end();
      if (!stopped && static_cast<int>(tokens.size()) < options.max_tokens) still_active.push_back(active[i]);
    }
    active = std::move(still_active);
    if (progress && !progress(++steps)) {
      throw Error(ErrorKind::interrupted, model.path().string(), "interrupted");
    }
    next.clear();
    for (const std::int64_t sequence : active) {
      const auto& tokens = generation.tokens[static_cast<std::size_t>(sequence)];
      next.emplace_back(&tokens.back(), 1);
    }
  }
  generation.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return generation;
}

}  // namespace qcqa
