#include "model_folder.hpp"

#include <cstddef>
#include <fstream>
#include <span>
#include <string_view>

#include <nlohmann/json.hpp>

#include "qcqa/checkpoint/writer.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa::examples {
namespace {

using Json = nlohmann::ordered_json;

void write_file(const std::filesystem::path& file, std::string_view content) {
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  stream << content;
  stream.close();
  if (!stream) throw Error(ErrorKind::io, file.string(), "the file must be writable");
}

void write_json(const std::filesystem::path& file, const Json& json) { write_file(file, json.dump(2) + "\n"); }

Json config_json(const TinyLlamaShape& shape) {
  return {{"architectures", Json::array({"LlamaForCausalLM"})},
          {"model_type", "llama"},
          {"vocab_size", shape.vocabulary},
          {"hidden_size", shape.hidden},
          {"intermediate_size", shape.intermediate},
          {"num_hidden_layers", shape.layers},
          {"num_attention_heads", shape.heads},
          {"num_key_value_heads", shape.heads},
          {"head_dim", shape.head_dim},
          {"max_position_embeddings", shape.positions},
          {"rope_theta", shape.rope_theta},
          {"rope_scaling", nullptr},
          {"rms_norm_eps", shape.norm_epsilon},
          {"hidden_act", "silu"},
          {"attention_bias", false},
          {"mlp_bias", false},
          {"attention_dropout", 0.0},
          {"initializer_range", 0.08},
          {"pretraining_tp", 1},
          {"tie_word_embeddings", true},
          {"use_cache", true},
          {"bos_token_id", ByteLevelBpe::kBos},
          {"eos_token_id", ByteLevelBpe::kEos},
          {"torch_dtype", "float32"}};
}

void write_weights(const std::filesystem::path& folder, const TinyLlama& model) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, weight] : model.weights()) {
    specs.push_back({name, Dtype::f32, weight.sizes().vec()});
  }
  CheckpointWriter writer(folder, std::move(specs));
  for (const auto& [name, weight] : model.weights()) {
    const torch::Tensor values = weight.detach().contiguous();
    const std::span<const float> floats(values.data_ptr<float>(), static_cast<std::size_t>(values.numel()));
    writer.write(name, std::as_bytes(floats));
  }
  writer.finish();
}

}  // namespace

void save_model(const std::filesystem::path& folder, const TinyLlama& model, const ByteLevelBpe& tokenizer) {
  std::filesystem::create_directories(folder);
  const Json ids{{"bos_token_id", ByteLevelBpe::kBos}, {"eos_token_id", ByteLevelBpe::kEos}};
  const Json texts{{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  Json tokenizer_config{{"tokenizer_class", "PreTrainedTokenizerFast"}};
  tokenizer_config.update(texts);
  tokenizer_config["add_bos_token"] = true;
  tokenizer_config["add_eos_token"] = false;
  tokenizer_config["clean_up_tokenization_spaces"] = false;
  tokenizer_config["model_max_length"] = model.shape().positions;

  write_json(folder / "config.json", config_json(model.shape()));
  write_json(folder / "generation_config.json", ids);
  write_json(folder / "tokenizer.json", tokenizer.tokenizer_json());
  write_json(folder / "tokenizer_config.json", tokenizer_config);
  write_json(folder / "special_tokens_map.json", texts);
  write_weights(folder, model);
}

void save_stories(const std::filesystem::path& file, const std::vector<std::string>& stories) {
  std::string lines;
  for (const std::string& story : stories) lines += Json{{"text", story}}.dump() + "\n";
  write_file(file, lines);
}

}  // namespace qcqa::examples
