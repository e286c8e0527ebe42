#include "support/pico_model.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <random>
#include <sstream>

#include "model/class_tensors.hpp"
#include "qcqa/checkpoint/float_codec.hpp"
#include "qcqa/checkpoint/writer.hpp"

namespace qcqa::testing {
namespace {

/// Names of what is around the attention blocks.
std::vector<std::string> names_around(const PicoModel& pico, const Architecture& architecture) {
  const ForwardDescription& names = *architecture.forward;
  std::vector<std::string> list;
  for (int layer = 0; layer < pico.layers; ++layer) {
    for (const std::string& name : {architecture.attention.input_norm, names.mlp_norm, names.attention_post_norm,
                                    names.mlp_post_norm, names.mlp.gate, names.mlp.up, names.mlp.down}) {
      if (!name.empty()) list.push_back(architecture.prefix_of(layer) + name + ".weight");
    }
  }
  list.push_back(names.final_norm + ".weight");
  list.push_back(architecture.head.tensor + ".weight");
  return list;
}

/// What the class needs, in an order that is the same for all tests: adding to the list changes no tensor before.
std::vector<TensorSpec> specs_of(const PicoModel& pico, const ModelConfig& config) {
  const Architecture& architecture = config.architecture();
  std::vector<ClassTensor> needed = class_tensors(config);
  std::vector<TensorSpec> specs;
  const auto take = [&](const std::string& name) {
    const auto it = std::ranges::find(needed, name, &ClassTensor::name);
    if (it == needed.end()) return;
    const auto width = it->shape.empty() ? std::vector<std::int64_t>{pico.hidden_size} : it->shape;
    if (it->use != ClassTensor::Use::left_out)
      specs.push_back({name, pico.dtype, it->transposed ? std::vector{width[1], width[0]} : width});
    needed.erase(it);
  };
  take(architecture.embedding + ".weight");
  if (pico.mlp_size > 0 && architecture.forward) {
    for (const std::string& name : names_around(pico, architecture)) take(name);
  }
  specs.push_back({"counter", Dtype::i64, {2}});
  for (int layer = 0; layer < pico.layers; ++layer) {
    for (const Projection& projection : architecture.projections) {
      for (const char* suffix : {".weight", ".bias"}) take(architecture.tensor_name(layer, projection.tensor, suffix));
    }
    take(architecture.tensor_name(layer, architecture.output, ".weight"));
  }
  while (!needed.empty()) take(std::string(needed.front().name));
  return specs;
}

/// config.json
nlohmann::ordered_json config_of(const PicoModel& pico, const Architecture& architecture) {
  nlohmann::ordered_json config = {
      {"model_type", architecture.model_types.front()}, {architecture.layers.key, pico.layers},
      {architecture.hidden_size.key, pico.hidden_size}, {architecture.query_heads.key, pico.query_heads},
      {architecture.vocabulary.key, pico.vocabulary},   {architecture.mlp_width.key, std::max(pico.mlp_size, 1)}};
  if (!architecture.kv_heads.key.empty()) config[architecture.kv_heads.key] = pico.kv_heads;
  // Variants may go by what is not there.
  if (!architecture.variants.empty()) config[architecture.positions.key] = architecture.positions.fallback;
  if (!architecture.one_kv_head.key.empty()) config[architecture.one_kv_head.key] = pico.kv_heads == 1;
  if (!architecture.head_dim.key.empty()) config[architecture.head_dim.key] = pico.head_dim;
  for (const Projection& projection : architecture.projections) {
    if (!projection.bias.key.empty()) config[projection.bias.key] = pico.biases;
  }
  if (const auto& rotary = architecture.attention.rotary; rotary && !rotary->dims.key.empty())
    config[rotary->dims.key] = pico.head_dim;
  if (const auto& rotary = architecture.attention.rotary; rotary && rotary->must_be_scaled) {
    config["rope_parameters"] = {{"rope_type", "linear"}, {"factor", 2.0}};
    if (rotary->scales_queries)
      config["rope_parameters"].update({{"llama_4_scaling_beta", 0.1}, {"original_max_position_embeddings", 4}});
  }
  if (const auto& layers = architecture.attention.in_layers) {
    for (int layer = 0; layer < pico.layers; ++layer)
      config["layer_types"].push_back((pico.alternates && layer % 2 == 0 ? layers->others : layers->types).front());
  }
  config["torch_dtype"] = "float32";
  return config;
}

double uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-52 - 1; }

std::size_t count_of(const TensorSpec& spec) {
  std::size_t count = 1;
  for (const std::int64_t extent : spec.shape) count *= static_cast<std::size_t>(extent);
  return count;
}

/// x (hidden_size) -> head_dim, with bias.
std::vector<double> project(const HeadRows& head, const AttentionLayer& layer, std::span<const double> x) {
  const auto weight = values_of(head.weight);
  auto out = head.bias.empty() ? std::vector<double>(static_cast<std::size_t>(layer.head_dim)) : values_of(head.bias);
  for (std::size_t row = 0; row < out.size(); ++row) {
    for (std::size_t column = 0; column < x.size(); ++column) out[row] += weight[row * x.size() + column] * x[column];
  }
  return out;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

void write_pico_model(const std::filesystem::path& folder, const PicoModel& pico) {
  const Architecture& architecture =
      *std::ranges::find(pico.families->architectures(), pico.family, &Architecture::family);
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "config.json") << config_of(pico, architecture).dump(2);
  const std::vector<TensorSpec> specs = specs_of(pico, ModelConfig::read(folder, *pico.families));
  CheckpointWriter writer(folder, specs);
  std::mt19937_64 random(pico.seed);
  for (const TensorSpec& spec : specs) {
    std::vector<std::byte> bytes(count_of(spec) * static_cast<std::size_t>(dtype_bits(spec.dtype) / 8));
    if (is_attention_dtype(spec.dtype)) {
      std::vector<double> values(count_of(spec));
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = uniform(random);
        if (pico.adjust) values[i] = pico.adjust(spec.name, i, values[i]);
      }
      encode(values, spec.dtype, bytes);
    }
    writer.write(spec.name, bytes);
  }
  writer.finish();
  std::ofstream(folder / "tokenizer.json") << "{\"pico\": true}";
  std::ofstream(folder / "README.md") << "the original card";
  std::ofstream(folder / ".gitattributes") << "hidden";
}

std::vector<std::pair<std::string, std::string>> folder_contents(const std::filesystem::path& folder) {
  std::vector<std::pair<std::string, std::string>> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ostringstream content;
    content << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    files.emplace_back(std::filesystem::relative(entry.path(), folder).string(), content.str());
  }
  std::ranges::sort(files);
  return files;
}

std::vector<double> values_of(const TensorSlice& slice) {
  std::vector<double> values(slice.size());
  slice.read(values);
  return values;
}

std::vector<double> values_of(const TensorView& tensor) { return values_of(tensor.all()); }

std::vector<double> attention_output(const AttentionLayer& layer, int tokens, std::uint64_t seed) {
  const auto width = static_cast<std::size_t>(layer.hidden_size);
  const auto head_dim = static_cast<std::size_t>(layer.head_dim);
  const auto length = static_cast<std::size_t>(tokens);
  std::mt19937_64 random(seed);
  std::vector<std::vector<double>> x(length, std::vector<double>(width));
  for (auto& vector : x) std::ranges::generate(vector, [&] { return uniform(random); });
  const auto projected = [&](const HeadRows& head) {
    std::vector<std::vector<double>> out;
    for (const auto& vector : x) out.push_back(project(head, layer, vector));
    return out;
  };
  const auto output = values_of(*layer.output);
  const std::size_t output_columns = static_cast<std::size_t>(layer.query_heads) * head_dim;
  std::vector<double> result(length * width, 0.0);
  for (int head = 0; head < layer.query_heads; ++head) {
    const auto kv_head = static_cast<std::size_t>(layer.kv_head_of(head));
    const auto q = projected(layer.query[static_cast<std::size_t>(head)]);
    const auto k = projected(layer.key[kv_head]);
    const auto v = projected(layer.value[kv_head]);
    for (std::size_t t = 0; t < length; ++t) {
      std::vector<double> weights(t + 1);
      for (std::size_t s = 0; s <= t; ++s)
        weights[s] = std::exp(dot(q[t], k[s]) / std::sqrt(static_cast<double>(head_dim)));
      double total = 0;
      for (const double weight : weights) total += weight;
      for (std::size_t s = 0; s <= t; ++s) {
        for (std::size_t row = 0; row < width; ++row) {
          const double* columns = &output[row * output_columns + static_cast<std::size_t>(head) * head_dim];
          for (std::size_t i = 0; i < head_dim; ++i)
            result[t * width + row] += weights[s] / total * columns[i] * v[s][i];
        }
      }
    }
  }
  return result;
}

}  // namespace qcqa::testing
