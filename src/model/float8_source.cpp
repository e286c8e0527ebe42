#include "model/float8_source.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "checkpoint/float8_values.hpp"
#include "model/completeness.hpp"
#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kWeight = ".weight";
/// What stands behind a weight's name for its scales: DeepSeek's and transformers' own, compressed-tensors'.
constexpr std::array<std::string_view, 2> kScales = {"_scale_inv", "_scale"};
/// What else belongs to a quantised module: scales of its inputs.
constexpr std::array<std::string_view, 2> kInputScales = {".input_scale", ".activation_scale"};

bool is_float8(const TensorView& tensor) {
  return (tensor.dtype == Dtype::f8_e4m3 || tensor.dtype == Dtype::f8_e5m2) && tensor.shape.size() == 2;
}

struct Block {
  std::int64_t rows = 0, columns = 0;
};

/// The sizes of blocks that a quantization_config states, wherever its kind keeps them.
std::vector<Block> stated_blocks(const ordered_json& config) {
  std::vector<Block> blocks;
  const auto add = [&](const ordered_json& holder, const char* key) {
    const auto it = holder.is_object() ? holder.find(key) : holder.end();
    if (it == holder.end() || !it->is_array() || it->size() != 2) return;
    if (it->at(0).is_number_unsigned() && it->at(1).is_number_unsigned())
      blocks.push_back({it->at(0).get<std::int64_t>(), it->at(1).get<std::int64_t>()});
  };
  const auto quantisation = config.find("quantization_config");
  if (quantisation == config.end() || !quantisation->is_object()) return blocks;
  add(*quantisation, "weight_block_size");
  const auto groups = quantisation->find("config_groups");
  if (groups == quantisation->end() || !groups->is_object()) return blocks;
  for (const auto& [name, group] : groups->items()) {
    if (group.is_object() && group.contains("weights")) add(group["weights"], "block_structure");
  }
  return blocks;
}

bool states_quantisation(const ordered_json& config) {
  const auto section = config.find("quantization_config");
  return section != config.end() && section->is_object() && !section->empty();
}

/// How many elements share a scale, by the shapes of both.
Block block_of(const TensorView& weight, const TensorView& scales, std::span<const Block> stated) {
  const std::int64_t rows = weight.shape[0], columns = weight.shape[1];
  const std::int64_t count = scales.element_count();
  if (count == 1) return {std::max<std::int64_t>(rows, 1), std::max<std::int64_t>(columns, 1)};
  if (count == rows && scales.shape.front() == rows && scales.shape.size() <= 2)
    return {1, std::max<std::int64_t>(columns, 1)};
  if (scales.shape.size() == 2 && scales.shape[0] > 0 && scales.shape[1] > 0) {
    // The last block of a row or column may be smaller than the others where a size is stated.
    const auto parts = [](std::int64_t whole, std::int64_t part) { return (whole + part - 1) / part; };
    for (const Block& block : stated) {
      if (block.rows > 0 && block.columns > 0 && parts(rows, block.rows) == scales.shape[0] &&
          parts(columns, block.columns) == scales.shape[1]) {
        return block;
      }
    }
    if (rows % scales.shape[0] == 0 && columns % scales.shape[1] == 0)
      return {rows / scales.shape[0], columns / scales.shape[1]};
  }
  throw Error(ErrorKind::corrupt, scales.file.string() + ": " + scales.name,
              "scales must be one for all, one per row or one per block of the " + shape_text(weight.shape) + " of " +
                  weight.name,
              shape_text(scales.shape));
}

void require_scale_dtype(const TensorView& scales) {
  const Dtype dtype = scales.dtype;
  if (is_attention_dtype(dtype) || dtype == Dtype::f8_e8m0 || dtype == Dtype::u8) return;
  throw Error(ErrorKind::unsupported, scales.file.string() + ": " + scales.name,
              "scales must be floating-point numbers or powers of two", std::string(dtype_name(dtype)));
}

/// "model.layers.0.self_attn.q_proj.weight" -> without its last part
std::string module_of(const std::string& weight) {
  return weight.ends_with(kWeight) ? weight.substr(0, weight.size() - kWeight.size()) : weight;
}

/// Adds modules to the list of those that the quantisation leaves alone.
void leave_alone(ordered_json& config, std::span<const std::string> modules) {
  const auto it = config.find("quantization_config");
  if (it == config.end() || !it->is_object()) return;
  ordered_json& quantisation = *it;
  const bool compressed = quantisation.value("quant_method", "") == "compressed-tensors";
  const char* key = compressed                                ? "ignore"
                    : quantisation.contains("ignored_layers") ? "ignored_layers"
                                                              : "modules_to_not_convert";
  ordered_json& list = quantisation[key];
  if (!list.is_array()) list = ordered_json::array();
  for (const std::string& module : modules) {
    if (std::ranges::find(list, ordered_json(module)) == list.end()) list.push_back(module);
  }
}

}  // namespace

bool has_float8(const Checkpoint& checkpoint) { return std::ranges::any_of(checkpoint.tensors(), is_float8); }

Float8Source read_float8_source(const Checkpoint& checkpoint, const ordered_json& config,
                                std::span<const std::string> attention) {
  const std::vector<Block> stated = stated_blocks(config);
  std::vector<TensorView> views;
  std::vector<std::string> freed;
  std::set<std::string> dropped, kept_as_stored;
  for (const TensorView& tensor : checkpoint.tensors()) {
    if (!is_float8(tensor)) continue;
    const bool in_attention = std::ranges::find(attention, tensor.name) != attention.end();
    TensorView view = tensor;
    const TensorView* scales = nullptr;
    for (const std::string_view suffix : kScales) {
      if (!scales) scales = checkpoint.find(tensor.name + std::string(suffix));
    }
    if (!scales && states_quantisation(config)) {
      throw Error(
          ErrorKind::not_found, tensor.file.string() + ": " + tensor.name,
          "8-bit floats must have scales where config.json states a quantisation",
          "no " + tensor.name + std::string(kScales.front()) + " and no " + tensor.name + std::string(kScales.back()),
          "Download the checkpoint again.");
    }
    Block block{std::max<std::int64_t>(tensor.shape[0], 1), std::max<std::int64_t>(tensor.shape[1], 1)};
    if (scales) {
      require_scale_dtype(*scales);
      block = block_of(tensor, *scales, stated);
      (in_attention ? dropped : kept_as_stored).insert(scales->name);
    }
    view.derived =
        std::make_shared<const Float8Values>(tensor, scales ? *scales : TensorView{}, block.rows, block.columns);
    view.dtype = Dtype::f32;
    view.narrow = Dtype::bf16;
    const std::string module = module_of(tensor.name);
    for (const std::string_view suffix : kInputScales) {
      (in_attention ? dropped : kept_as_stored).insert(module + std::string(suffix));
    }
    if (in_attention) {
      freed.push_back(module);
    } else {
      view.stored_as = tensor.dtype;
    }
    views.push_back(std::move(view));
  }
  for (const TensorView& tensor : checkpoint.tensors()) {
    if (is_float8(tensor) || dropped.contains(tensor.name)) continue;
    views.push_back(tensor);
    if (kept_as_stored.contains(tensor.name)) views.back().stored_as = tensor.dtype;
  }
  const std::size_t quantised = static_cast<std::size_t>(std::ranges::count_if(checkpoint.tensors(), is_float8));
  Float8Source source{checkpoint.seen_as(std::move(views)), config, {}};
  leave_alone(source.config, freed);
  source.notes.push_back("8-bit floats (FP8) in " + std::to_string(quantised) +
                         " matrices: those of the attention are written as BF16 unless --dtype says otherwise, the "
                         "others byte for byte as they are");
  return source;
}

}  // namespace qcqa
