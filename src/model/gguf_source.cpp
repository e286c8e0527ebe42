#include "model/gguf_source.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <optional>
#include <set>
#include <utility>

#include "model/biases.hpp"
#include "model/gguf_names.hpp"
#include "qcqa/checkpoint/float_codec.hpp"
#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kRotaryFactors = "rope_freqs.weight";

/// The rows of heads whose neighbours are turned together, as halves: row i of a head is row 2i in the file, row
/// i + head_dim/2 is row 2i + 1.
class HalvesOfHeads final : public DerivedValues {
 public:
  HalvesOfHeads(TensorView source, std::uint64_t head_dim)
      : source_(std::move(source)),
        head_dim_(head_dim),
        row_(static_cast<std::uint64_t>(source_.element_count() / source_.shape.front())),
        element_(dtype_bytes(source_.dtype)) {}

  void make(std::uint64_t first, std::span<std::byte> out) const override {
    while (!out.empty()) {
      const std::uint64_t row = first / row_, column = first % row_;
      const std::uint64_t in_head = row % head_dim_, half = head_dim_ / 2;
      const std::uint64_t place = row - in_head + in_head % half * 2 + in_head / half;
      const std::uint64_t count = std::min<std::uint64_t>(row_ - column, out.size() / element_);
      const auto target = out.first(static_cast<std::size_t>(count * element_));
      const std::uint64_t from = place * row_ + column;
      if (source_.derived) {
        source_.derived->make(from, target);
      } else {
        std::memcpy(target.data(), source_.stored.data() + from * element_, target.size());
      }
      out = out.subspan(target.size());
      first += count;
    }
  }

 private:
  TensorView source_;
  std::uint64_t head_dim_, row_, element_;
};

class SourceReader {
 public:
  explicit SourceReader(const GgufFile& file) : file_(file), where_(file.file->path().string()) {}

  GgufSource read() {
    const std::string name = text("general.architecture");
    named_ = find_gguf_family(name);
    if (!named_) {
      throw Error(ErrorKind::unsupported, where_, "the architecture of a GGUF file must be " + gguf_families_in_words(),
                  in_quotes(name), "Give the Hugging Face folder that it was made from.");
    }
    prefix_ = name + ".";
    require_whole();
    read_config();
    std::vector<TensorView> tensors;
    for (const TensorView& view : file_.tensors) {
      if (view.name != kRotaryFactors) tensors.push_back(renamed(view));
    }
    add_notes();
    return {std::move(config_), Checkpoint::of(file_).seen_as(std::move(tensors)), std::move(notes_)};
  }

 private:
  // Keys -------------------------------------------------------------------------------------------------------------

  template <typename T>
  const T* find(const std::string& key) {
    read_.insert(key);
    const GgufValue* value = file_.find(key);
    return value ? std::get_if<T>(value) : nullptr;
  }

  [[noreturn]] void missing(const std::string& key) const {
    throw Error(ErrorKind::corrupt, where_, "needs the key " + in_quotes(key), "none of its type");
  }

  std::string text(const std::string& key) {
    if (const auto* value = find<std::string>(key)) return *value;
    missing(key);
  }

  /// A number that is the same in all layers, if it is there.
  std::optional<std::int64_t> count(const std::string& stem) {
    const std::string key = prefix_ + stem;
    if (const auto* number = find<std::uint32_t>(key)) return *number;
    if (const auto* number = find<std::int32_t>(key)) return *number;
    const auto* list = find<std::vector<std::int32_t>>(key);
    if (!list || list->empty()) return std::nullopt;
    if (std::ranges::any_of(*list, [&](std::int32_t n) { return n != list->front(); })) {
      throw Error(ErrorKind::unsupported, where_, in_quotes(key) + " must be the same in all layers",
                  "different numbers", "Give the Hugging Face folder that it was made from.");
    }
    return list->front();
  }

  std::int64_t needed(const std::string& stem) {
    const auto number = count(stem);
    if (!number || *number < 1) missing(prefix_ + stem);
    return *number;
  }

  std::optional<double> real(const std::string& stem) {
    if (const auto* number = find<float>(prefix_ + stem)) return shortest(*number);
    return std::nullopt;
  }

  /// The decimal number that a float32 was written for: 1e-05, not 9.999999747378752e-06.
  static double shortest(float number) {
    char text[32];
    std::snprintf(text, sizeof text, "%.7g", static_cast<double>(number));
    const double decimal = std::strtod(text, nullptr);
    return static_cast<float>(decimal) == number ? decimal : static_cast<double>(number);
  }

  void require(bool holds, const std::string& rule, const std::string& found) const {
    if (holds) return;
    throw Error(ErrorKind::unsupported, where_, rule, found, "Give the Hugging Face folder that it was made from.");
  }

  void require_whole() {
    const auto* parts = find<std::uint32_t>("split.count");
    if (!parts || *parts <= 1) return;
    throw Error(ErrorKind::unsupported, where_, "must be a whole file", "one of " + std::to_string(*parts) + " parts",
                "Join them first: llama-gguf-split --merge FIRST_PART OUT.gguf");
  }

  // Config -----------------------------------------------------------------------------------------------------------

  [[nodiscard]] const TensorView* tensor(std::string_view name) const {
    const auto found = std::ranges::find(file_.tensors, name, &TensorView::name);
    return found == file_.tensors.end() ? nullptr : &*found;
  }
  [[nodiscard]] bool any_layer_has(std::string_view stem) const {
    return std::ranges::any_of(file_.tensors, [&](const TensorView& view) {
      return view.name.starts_with("blk.") && view.name.ends_with(stem) &&
             view.name[view.name.size() - stem.size() - 1] == '.';
    });
  }

  [[nodiscard]] Biases biases() const {
    return {.projections = any_layer_has("attn_q.bias"),
            .output = any_layer_has("attn_output.bias"),
            .mlp = any_layer_has("ffn_up.bias")};
  }

  /// The one that the architecture has alone, unless only another that can be written as it has these biases.
  [[nodiscard]] const Architecture& choose_family() const {
    const auto fits = [&](const Architecture& family) { return settings_for(family, biases()).biases == biases(); };
    if (fits(*named_)) return *named_;
    for (const Architecture& other : supported_architectures()) {
      if (other.padding.as == named_->family && fits(other)) return other;
    }
    return *named_;
  }

  void read_config() {
    const std::int64_t heads = needed("attention.head_count");
    const std::int64_t hidden = needed("embedding_length");
    head_dim_ = count("attention.key_length").value_or(hidden / heads);
    const std::int64_t rotated = count("rope.dimension_count").value_or(head_dim_);
    const std::int64_t value_dim = count("attention.value_length").value_or(head_dim_);
    require(rotated == head_dim_ && head_dim_ % 2 == 0 && head_dim_ > 0, "whole heads must be rotated",
            std::to_string(rotated) + " of " + std::to_string(head_dim_) + " dimensions");
    require(value_dim == head_dim_, "keys and values must have one size",
            std::to_string(head_dim_) + " and " + std::to_string(value_dim));
    require(count("expert_count").value_or(0) == 0, "mixtures of experts cannot be read from GGUF", "expert_count");
    const TensorView* embedding = tensor("token_embd.weight");
    if (!embedding || embedding->shape.size() != 2)
      throw Error(ErrorKind::corrupt, where_, "needs the tensor \"token_embd.weight\"", "none, or no matrix");
    const Architecture& family = choose_family();
    config_["model_type"] = family.model_types.front();
    config_["architectures"] = {family.model_class};
    config_[family.vocabulary.key] = embedding->shape.front();
    config_[family.hidden_size.key] = hidden;
    config_[family.mlp_width.key] = needed("feed_forward_length");
    config_[family.layers.key] = needed("block_count");
    config_[family.query_heads.key] = heads;
    config_[family.kv_heads.key] = count("attention.head_count_kv").value_or(heads);
    config_[family.head_dim.key] = head_dim_;
    config_[family.forward->activation.key] = "silu";
    config_[family.positions.key] = needed("context_length");
    const auto epsilon = real("attention.layer_norm_rms_epsilon");
    if (!epsilon) missing(prefix_ + "attention.layer_norm_rms_epsilon");
    config_[family.norm.epsilon.key] = *epsilon;
    config_[family.head.tied.key] = tensor("output.weight") == nullptr;
    for (const auto& [key, value] : settings_for(family, biases()).keys) config_[key] = value;
    const double theta = real("rope.freq_base").value_or(10000.0);
    config_[family.attention.rotary->theta.key] = theta;
    read_rotary_scaling(theta);
    const TensorView* queries = tensor("blk.0.attn_q.weight");
    const Dtype dtype = queries ? queries->written_dtype() : Dtype::f16;
    config_["torch_dtype"] = dtype == Dtype::f32 ? "float32" : dtype == Dtype::bf16 ? "bfloat16" : "float16";
    static constexpr std::pair<const char*, const char*> kTokens[] = {
        {"bos_token_id", "bos"}, {"eos_token_id", "eos"}, {"pad_token_id", "padding"}};
    for (const auto& [key, id] : kTokens) {
      const auto* number = find<std::uint32_t>("tokenizer.ggml." + std::string(id) + "_token_id");
      if (number) config_[key] = *number;
    }
    names_ = gguf_names(family);
    family_ = &family;
  }

  void read_rotary_scaling(double theta) {
    // As llama.cpp reads them: an old name stands in for the factor, and a factor without a kind is linear.
    const double old_factor = real("rope.scale_linear").value_or(0);
    double factor = real("rope.scaling.factor").value_or(0);
    if (factor == 0) factor = old_factor;
    const auto* named = find<std::string>(prefix_ + "rope.scaling.type");
    const std::string kind = named ? *named : factor != 0 && factor != 1 ? "linear" : "none";
    const auto positions = count("rope.scaling.original_context_length");
    const bool scaled = kind != "none";
    if (const TensorView* factors = tensor(kRotaryFactors)) {
      require(!scaled, "one rotary scaling", in_quotes(kind) + " beside " + std::string(kRotaryFactors));
      read_rotary_factors(*factors, theta);
    } else if (scaled) {
      require((kind == "linear" || kind == "yarn") && factor > 0,
              "the rotary scaling must be linear or yarn, with a factor", in_quotes(kind));
      require(!real("rope.scaling.attn_factor") || *real("rope.scaling.attn_factor") == 1, "no attention factor",
              "rope.scaling.attn_factor");
      config_["rope_scaling"] = {{"rope_type", kind}, {"factor", factor}};
      if (kind == "yarn" && positions) config_["rope_scaling"]["original_max_position_embeddings"] = *positions;
    }
  }

  /// Files of Llama 3.1 and later hold what its scaling divides every frequency by, not how that came about. Of a few
  /// likely settings, the one that gives these numbers was it.
  void read_rotary_factors(const TensorView& tensor, double theta) {
    require(tensor.element_count() == head_dim_ / 2, "rotary factors must be one per plane of a head",
            std::string(kRotaryFactors));
    std::vector<double> factors(static_cast<std::size_t>(head_dim_ / 2));
    tensor.all().read(factors);
    if (std::ranges::all_of(factors, [](double f) { return f == 1; })) return;
    const double factor = *std::ranges::max_element(factors);
    for (const int positions : {8192, 4096, 2048, 16384, 32768, 65536, 131072}) {
      if (!is_llama3_scaling(factors, theta, factor, positions)) continue;
      config_["rope_scaling"] = {{"rope_type", "llama3"},
                                 {"factor", shortest(static_cast<float>(factor))},
                                 {"low_freq_factor", 1.0},
                                 {"high_freq_factor", 4.0},
                                 {"original_max_position_embeddings", positions}};
      return;
    }
    require(false, "the factors of the rotary frequencies must be those of Llama 3", std::string(kRotaryFactors));
  }

  [[nodiscard]] bool is_llama3_scaling(const std::vector<double>& factors, double theta, double factor,
                                       double positions) const {
    for (std::size_t i = 0; i < factors.size(); ++i) {
      const double wave =
          2 * std::numbers::pi * std::pow(theta, 2.0 * static_cast<double>(i) / static_cast<double>(head_dim_));
      const double smooth = std::clamp((positions / wave - 1) / 3, 0.0, 1.0);
      const double expected = 1 / ((1 - smooth) / factor + smooth);
      if (std::abs(factors[i] / expected - 1) > 1e-3) return false;
    }
    return true;
  }

  // Tensors ----------------------------------------------------------------------------------------------------------

  TensorView renamed(const TensorView& view) const {
    TensorView out = view;
    const auto [stem, layer, suffix] = parts_of(view.name);
    const std::vector<GgufName>& rows = layer.empty() ? names_.model : names_.layer;
    const auto row = std::ranges::find(rows, stem, &GgufName::gguf);
    require(row != rows.end(), "every tensor must be one of the architecture's", in_quotes(view.name));
    out.name = (layer.empty() ? std::string() : family_->prefix_of(layer)) + row->ours + std::string(suffix);
    const bool heads = stem == "attn_q" || stem == "attn_k";
    if (heads && named_->gguf->rotary_neighbours) {
      require(!view.shape.empty() && view.shape.front() > 0 && view.shape.front() % head_dim_ == 0,
              "rows must be those of whole heads", in_quotes(view.name));
      out.derived = std::make_shared<const HalvesOfHeads>(view, static_cast<std::uint64_t>(head_dim_));
    }
    return out;
  }

  struct NameParts {
    std::string_view stem, layer, suffix;
  };
  /// "blk.3.attn_q.weight" -> attn_q, 3, .weight
  [[nodiscard]] NameParts parts_of(std::string_view name) const {
    NameParts parts;
    const std::size_t dot = name.rfind('.');
    require(dot != std::string_view::npos && (name.substr(dot) == ".weight" || name.substr(dot) == ".bias"),
            "every tensor must be one of the architecture's", in_quotes(name));
    parts.suffix = name.substr(dot);
    parts.stem = name.substr(0, dot);
    if (parts.stem.starts_with("blk.")) {
      const std::size_t end = parts.stem.find('.', 4);
      require(end != std::string_view::npos, "every tensor must be one of the architecture's", in_quotes(name));
      parts.layer = parts.stem.substr(4, end - 4);
      parts.stem = parts.stem.substr(end + 1);
    }
    return parts;
  }

  /// What the file says of its architecture and nothing here asked for may change what it computes.
  void add_notes() {
    std::string unread;
    for (const auto& [key, value] : file_.metadata) {
      if (key.starts_with(prefix_) && key != prefix_ + "vocab_size" && !read_.contains(key))
        unread += (unread.empty() ? "" : ", ") + key;
    }
    if (!unread.empty()) notes_.push_back(where_ + ": not understood and left aside: " + unread);
  }

  const GgufFile& file_;
  std::string where_;
  const Architecture* named_ = nullptr;   ///< the family that the architecture has alone
  const Architecture* family_ = nullptr;  ///< whose class reads it
  std::string prefix_;
  GgufNames names_;
  std::int64_t head_dim_ = 0;
  std::set<std::string> read_;
  ordered_json config_ = ordered_json::object();
  std::vector<std::string> notes_;
};

}  // namespace

GgufSource read_gguf_source(const GgufFile& file) { return SourceReader(file).read(); }

}  // namespace qcqa
