#include "model/quantised.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

using nlohmann::ordered_json;

// The kinds that transformers and its relatives store, and what makes plain weights of each. transformers 5.24 can do
// so while loading (dequantize=True) or afterwards (.dequantize()) for some only.
constexpr std::string_view kFromOriginal = "Give the checkpoint that it was quantised from.";
constexpr std::string_view kGptqModel =
    "Dequantise it with GPTQModel: python -c \"from gptqmodel.utils.model_dequant import dequantize_model; "
    "dequantize_model('MODEL', 'OUT')\".";
constexpr std::string_view kDequantizeAfterLoading =
    "Dequantise it with transformers: AutoModelForCausalLM.from_pretrained(MODEL).dequantize().save_pretrained(OUT).";

struct Kind {
  std::string_view method;  ///< quant_method in config.json
  std::string_view name;
  std::string_view fix;  ///< empty: such weights are read
};
constexpr std::array<Kind, 27> kKinds = {{
    {"gptq", "GPTQ", kGptqModel},
    {"awq", "AWQ", kGptqModel},
    {"bitsandbytes", "bitsandbytes", kDequantizeAfterLoading},
    {"higgs", "HIGGS", kDequantizeAfterLoading},
    {"mxfp4", "MXFP4",
     "Dequantise it with transformers: from_pretrained(MODEL, quantization_config=Mxfp4Config(dequantize=True)), then "
     "save_pretrained(OUT)."},
    {"fp8", "FP8", {}},
    {"compressed-tensors", "compressed-tensors",
     "Dequantise it with transformers: from_pretrained(MODEL, quantization_config="
     "CompressedTensorsConfig(dequantize=True)), then save_pretrained(OUT)."},
    {"metal", "Metal",
     "Dequantise it with transformers: from_pretrained(MODEL, quantization_config=MetalConfig(dequantize=True)), then "
     "save_pretrained(OUT)."},
    {"mlx", "MLX", "Dequantise it with mlx-lm: mlx_lm.convert --hf-path MODEL --mlx-path OUT --dequantize."},
    {"hqq", "HQQ", kFromOriginal},
    {"eetq", "EETQ", kFromOriginal},
    {"quanto", "quanto", kFromOriginal},
    {"torchao", "torchao", kFromOriginal},
    {"aqlm", "AQLM", kFromOriginal},
    {"vptq", "VPTQ", kFromOriginal},
    {"spqr", "SpQR", kFromOriginal},
    {"bitnet", "BitNet", kFromOriginal},
    {"quark", "Quark", kFromOriginal},
    {"fp_quant", "FP-Quant", kFromOriginal},
    {"auto-round", "AutoRound", kFromOriginal},
    {"nvfp4", "NVFP4", kFromOriginal},
    {"mxfp8", "MXFP8", kFromOriginal},
    {"fbgemm_fp8", "FBGEMM FP8", kFromOriginal},
    {"modelopt", "ModelOpt", kFromOriginal},
    {"fouroversix", "Four Over Six", kFromOriginal},
    {"sinq", "SINQ", kFromOriginal},
    {"exl2", "EXL2", kFromOriginal},
}};

/// A tensor that only one kind of quantisation has. The first row that fits any tensor decides.
struct Trace {
  std::string_view end;  ///< of the tensor's name
  std::optional<Dtype> dtype;
  std::string_view method;
};
constexpr std::array<Trace, 24> kTraces = {{
    {".g_idx", Dtype::i32, "gptq"},
    {".q_group_size", std::nullopt, "exl2"},
    {".q_scale_max", std::nullopt, "exl2"},
    {".qweight", Dtype::i32, "awq"},
    {".weight.absmax", std::nullopt, "bitsandbytes"},
    {".weight.quant_map", std::nullopt, "bitsandbytes"},
    {".SCB", std::nullopt, "bitsandbytes"},
    {".weight_scales", std::nullopt, "eetq"},
    {".W_q", std::nullopt, "hqq"},
    {".weight_scale_2", std::nullopt, "nvfp4"},
    {".weight_global_scale", std::nullopt, "compressed-tensors"},
    {".weight_packed", std::nullopt, "compressed-tensors"},
    {"_blocks", Dtype::u8, "mxfp4"},
    {".weight._data", std::nullopt, "quanto"},
    {".codebooks", std::nullopt, "aqlm"},
    {".centroids.weight", std::nullopt, "vptq"},
    {".centroids", std::nullopt, "vptq"},
    {".scales", std::nullopt, "mlx"},  // GPTQ's and AWQ's stand beside a qweight
    {".weight", Dtype::u32, "mlx"},
    {".weight", Dtype::f8_e4m3, "fp8"},
    {".weight", Dtype::f8_e5m2, "fp8"},
    {".weight", Dtype::i8, {}},
    {".weight", Dtype::u8, {}},
    {".weight_scale_inv", std::nullopt, "fp8"},
}};

struct Found {
  std::string_view method;  ///< empty: of a kind unknown here
  std::string where;        ///< in words
};

const Kind* kind_of(const Found& found) {
  const auto* kind = std::ranges::find(kKinds, found.method, &Kind::method);
  return kind == kKinds.end() ? nullptr : kind;
}

std::optional<Found> by_config(const ordered_json& config) {
  for (const char* key : {"quantization_config", "compression_config"}) {
    const auto section = config.find(key);
    if (section == config.end() || !section->is_object() || section->empty()) continue;
    const std::string where = std::string(key) + " of config.json";
    const auto method = section->find("quant_method");
    const auto is_set = [&](const char* flag) {
      const auto it = section->find(flag);
      return it != section->end() && it->is_boolean() && it->get<bool>();
    };
    if (method != section->end() && method->is_string()) {
      const auto* kind = std::ranges::find(kKinds, method->get<std::string>(), &Kind::method);
      if (kind != kKinds.end()) return Found{kind->method, where};
      return Found{{}, where + " (" + method->get<std::string>() + ")"};
    }
    if (is_set("load_in_4bit") || is_set("load_in_8bit")) return Found{"bitsandbytes", where};
    if (std::string_view(key) == "compression_config") return Found{"compressed-tensors", where};
    return Found{{}, where};
  }
  const auto section = config.find("quantization");
  if (section != config.end() && section->is_object() && section->contains("bits"))
    return Found{"mlx", "quantization of config.json"};
  return std::nullopt;
}

std::optional<Found> by_tensors(const Checkpoint& checkpoint) {
  for (const Trace& trace : kTraces) {
    const auto tensors = checkpoint.tensors();
    const auto tensor = std::ranges::find_if(tensors, [&](const TensorView& view) {
      return view.name.ends_with(trace.end) && (!trace.dtype || view.dtype == *trace.dtype);
    });
    if (tensor == tensors.end()) continue;
    return Found{trace.method, "tensors such as " + tensor->name + " (" + std::string(dtype_name(tensor->dtype)) + ")"};
  }
  return std::nullopt;
}

}  // namespace

void refuse_quantised(const ordered_json& config, const Checkpoint& checkpoint,
                      const std::filesystem::path& config_file, std::string_view carried) {
  const std::optional<Found> said = by_config(config);
  const std::optional<Found> stored = by_tensors(checkpoint);
  if (!said && !stored) return;
  constexpr std::string_view kRule = "the weights must not be quantised";
  if (!stored) {
    throw Error(ErrorKind::unsupported, config_file.string(), kRule,
                said->where + ", where the weights themselves are plain",
                "Take that out of config.json if they have been dequantised.");
  }
  if (const Kind* kind = kind_of(*stored); kind && kind->fix.empty()) return;
  if (!carried.empty() && stored->method == carried) {
    if (said && said->method == carried) return;
    if (!said) {  // transformers would make up what it does not find
      throw Error(ErrorKind::unsupported, config_file.string(), "must state how the weights are quantised",
                  "nothing, beside " + stored->where,
                  R"(Add "quantization_config": {"quant_method": ")" + std::string(carried) + R"("}.)");
    }
  }
  // config.json tells kinds apart that store alike; the tensors tell where it is silent.
  const bool by_name = said && (kind_of(*said) || !kind_of(*stored));
  const Found& found = by_name ? *said : *stored;
  const Kind* kind = kind_of(found);
  throw Error(ErrorKind::unsupported, config_file.parent_path().string(), kRule,
              (kind ? std::string(kind->name) + ", by " : "") + found.where, kind ? kind->fix : kFromOriginal);
}

}  // namespace qcqa
