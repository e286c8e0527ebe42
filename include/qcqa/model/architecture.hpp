#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "qcqa/model/attention_description.hpp"
#include "qcqa/model/forward_description.hpp"

namespace qcqa {

/// What a head's rows in a projection are for.
enum class HeadRole {
  query,
  key,
  value,
  gate,  ///< of a query head: what the head gives is multiplied by the sigmoid of what these make of the same input
};

/// How the heads of a projection tensor follow one another.
enum class HeadOrder {
  by_role,   ///< all heads of the first role, then all of the next (also: tensors of one role)
  by_head,   ///< for each KV head: its query heads, its key, its value (GPT-NeoX)
  by_part,   ///< for each of Projection::parts parts of all heads: by role (CodeGen)
  by_query,  ///< for each query head: its query, its gate
};

/// One weight of the attention block (with a bias of the same name where the class has one) and the heads in its rows.
struct Projection {
  std::string tensor;  ///< relative to Architecture::attention_prefix, without ".weight"
  std::vector<HeadRole> holds;
  HeadOrder order = HeadOrder::by_role;
  Setting<bool> bias{};
  int parts = 1;  ///< for by_part; divides the numbers of heads
};

/// model_type of what qcqa writes with head counts per layer is this and the family's own; the counts stand under these
/// keys. See Layout::remote_code.
inline constexpr const char* kConvertedPrefix = "qcqa_";
inline constexpr const char* kQueryHeadsPerLayer = "query_heads_per_layer";
inline constexpr const char* kKvHeadsPerLayer = "kv_heads_per_layer";
/// Key under which such a checkpoint states the groups of each layer, labels of its KV heads; see Layout::shared_cache.
inline constexpr const char* kKvHeadGroups = "kv_head_groups";

/// A condition in config.json under which the family's checkpoints cannot be handled.
struct Refusal {
  std::string key;
  std::string equals;        ///< JSON text of the refused value; empty: any but null, false and 0
  std::string differs_from;  ///< only a value other than that of this key is refused, where both are there; or empty
  std::string why;
  bool any_value = false;  ///< null, false and 0 as well
};

/// What config.json must say for a variant. All are JSON texts.
struct Condition {
  std::string key;
  std::string fallback;  ///< the value where the key is absent
  std::string null;      ///< what JSON null stands for
  std::string equals;
};

/// A key whose presence in config.json, whatever its value, makes transformers take another family's class.
struct FamilyChange {
  std::string key;
  std::string family;
};

/// The tokenizer that AutoTokenizer of transformers takes for the family's model type.
struct TokenizerChoice {
  std::string model_class;         ///< empty: none of its own
  bool overrides_folders = false;  ///< classes that folders name are known to be wrong
};

/// Where the width that config.json states is that of an MLP without a gate, and the class gives one with a gate as
/// many weights: two thirds of it.
struct WidthWithoutGate {
  Setting<bool> enabled;
  Setting<double> multiplier;  ///< 0: none, and no rounding
  Setting<int> multiple_of;    ///< it is rounded up to one
};

/// What the family's class makes of query heads that are zeros, which fill up the smaller of unequal groups.
struct PaddingDescription {
  /// Its configuration in transformers refuses numbers of query heads that do not divide the hidden size, although it
  /// has a head_dim.
  bool heads_divide_hidden_size = false;
  std::string otherwise;  ///< a family with the same tensors whose class takes any number; empty: none
  std::string as;  ///< the same, but read with its head_dim in more runtimes, so that it is always taken; empty: none
};

/// The architecture of llama.cpp that has the family's name, or one like it, and what it computes beyond plain Llama.
struct GgufDescription {
  std::string architecture;
  bool rotary_neighbours = false;  ///< the dimensions that are turned together are neighbours
  bool biases = false;
  bool head_norms = false;
  bool rotary_factors = false;  ///< frequencies of one's own
  bool padded_heads = false;    ///< any number of query heads
  bool layers_differ = false;   ///< head counts per layer
  /// It is no Llama at all: queries, keys and values in one matrix, norms with biases, a plain MLP. The number of KV
  /// heads stands in the file, whatever the family's class has.
  bool fused = false;
  bool needs_all = false;  ///< of `fused`: biases of attention and an output matrix, whether the model has them or not
  std::string attention_norm = "attn_norm", mlp_norm = "ffn_norm";  ///< of `fused`: their names within a block
};

/// A family of checkpoints as data: names of config keys and tensors. One JSON file each in src/model/architectures.
struct Architecture {
  std::string family;
  std::vector<std::string> model_types;  ///< values of config.json's model_type
  std::string model_class;               ///< of transformers
  std::set<std::string> keys;            ///< of config.json that the description reads
  std::string base_prefix;               ///< of the names of the tensors inside the class's base model: "model."
  std::optional<FamilyChange> becomes;
  /// The first whose conditions hold is what the class computes by that config.json, in the place of this description.
  std::vector<Architecture> variants;
  std::vector<Condition> when;  ///< of a variant: all must hold

  Setting<int> layers, hidden_size, query_heads;
  /// 0: one per query head. Without a key: the family's class has no way to say otherwise.
  Setting<int> kv_heads;
  Setting<bool> one_kv_head;  ///< there is one for all query heads, whatever `kv_heads` says
  Setting<int> head_dim;      ///< 0: hidden_size / query heads, which it always is without a key
  Setting<int> vocabulary, positions;
  Setting<int> mlp_width;  ///< 0: 4 * hidden_size
  std::optional<WidthWithoutGate> mlp_width_without_gate;

  std::string embedding;  ///< without ".weight"
  HeadDescription head;

  std::string layer_prefix;  ///< of the names of a layer's tensors, with "{layer}"
  /// Weights of the layers' linear maps are stored as (inputs, outputs), as Conv1D has them in transformers. They are
  /// seen as (outputs, inputs) all the same.
  bool transposed = false;
  NormDescription norm;

  std::string attention_prefix;  ///< begins with layer_prefix
  std::vector<Projection> projections;
  std::string output;  ///< like Projection::tensor; columns are query heads
  Setting<bool> output_bias;
  AttentionDescription attention;
  std::vector<Refusal> refusals;
  std::vector<std::string> more_tensors;  ///< outside the layers, for a family without `forward`

  /// Nothing: checkpoints can be converted, by all merges that need the weights alone, but not run.
  std::optional<ForwardDescription> forward;
  std::string no_forward;  ///< why there is none
  /// A kind of quantisation, by its quant_method, that checkpoints may have outside attention; empty: none.
  std::string carried_quantisation;

  TokenizerChoice tokenizer;
  PaddingDescription padding;
  std::optional<GgufDescription> gguf;  ///< nothing: llama.cpp has none for it alone
  std::string gqa_note;                 ///< what somebody should know who has its class hold fewer KV heads
  std::string no_shared_cache;          ///< why its class cannot be had with another cache; empty: it can
  std::string no_remote_code;           ///< why its class cannot be built from tensors by their names; empty: it can

  /// "model.layers."
  [[nodiscard]] std::string_view layer_stem() const;
  /// "model.layers.3."
  [[nodiscard]] std::string prefix_of(int layer) const;
  [[nodiscard]] std::string prefix_of(std::string_view layer) const;
  /// "model.layers.3.self_attn.q_proj" + ".weight"
  [[nodiscard]] std::string tensor_name(int layer, std::string_view tensor, std::string_view suffix) const;
};

/// The variant of a family that a config.json makes of it, or the family itself.
[[nodiscard]] const Architecture& variant_of(const Architecture& family, const nlohmann::json& config);

/// Whether what query heads give is multiplied by gates of their own.
[[nodiscard]] bool has_gates(const Architecture& architecture);

/// Whether llama.cpp has an architecture for the family that fuses queries, keys and values, and takes the number of KV
/// heads from the file though the family's own class has no setting for it.
[[nodiscard]] bool has_fused_gguf(const Architecture& architecture);

/// How the names of tensors begin in a composite, and with what the text model's family begins them.
struct NamePart {
  std::string there, here;
};

/// A key of config.json that counts where it stands beside a composite's text_config.
struct OutsideFlag {
  std::string key;
  bool fallback = false;  ///< what the composite's class takes where the key is absent, whatever the text model's takes
  bool or_inside = false;  ///< true in the text model's config, or by its class's default, is true as well
};

/// A family whose folders hold a text model of another family beside other parts, such as a vision tower: its config
/// has a place of its own in config.json, its tensors have longer names. The other parts are carried along untouched.
struct Composite {
  std::string family;
  std::vector<std::string> model_types;
  std::string model_class;
  std::string text_config;   ///< the key of config.json that holds the text model's
  std::string text_family;   ///< where that says no model_type; empty: it must
  bool may_be_flat = false;  ///< without text_config, config.json is the text model's of text_family
  std::vector<OutsideFlag> outside_flags;
  TokenizerChoice tokenizer;
  std::vector<NamePart> names;  ///< the longest that fits counts; tensors that none fits are of other parts
};

/// The families there are. Models that were opened with it need it as long as they live.
class Families {
 public:
  /// Those in src/model/architectures, parsed once from the embedded files.
  [[nodiscard]] static const Families& built_in();

  /// These and one more. @throws Error(corrupt) with `where` in front
  [[nodiscard]] Families with(std::string_view json_text, std::string_view where) const;

  /// These, and a model_type that none of them has is taken for one of this family, if its tensors are exactly those.
  /// @throws Error(invalid_argument) for a name that is none of a family that can be run
  [[nodiscard]] Families with_unknown_as(const std::string& family) const;
  /// Whether a model_type has a family of its own here.
  [[nodiscard]] bool knows(std::string_view model_type) const;

  /// In alphabetical order.
  [[nodiscard]] std::span<const Architecture> architectures() const noexcept { return architectures_; }
  [[nodiscard]] std::span<const Composite> composites() const noexcept { return composites_; }

  /// The family of this config.json, or of the text model's in a composite.
  /// @throws Error(unsupported) that names what is missing and what is supported
  [[nodiscard]] const Architecture& find(const nlohmann::json& config, const std::filesystem::path& config_file) const;
  /// The composite of this config.json, or nullptr.
  [[nodiscard]] const Composite* find_composite(const nlohmann::json& config) const;

 private:
  void add(std::string_view json_text, std::string_view where);

  std::vector<Architecture> architectures_;
  std::vector<Composite> composites_;
  std::string unknown_as_;  ///< a family; empty: none
};

/// All built-in families, in alphabetical order.
[[nodiscard]] std::span<const Architecture> supported_architectures();

/// The family of this name, which must be one of supported_architectures(): descriptions name one another.
[[nodiscard]] const Architecture& architecture_of(std::string_view family);

/// Families::built_in().find().
[[nodiscard]] const Architecture& find_architecture(const nlohmann::json& config,
                                                    const std::filesystem::path& config_file);

/// Parses one description. Unknown keys are errors. @throws Error(corrupt) with `where` in front
[[nodiscard]] Architecture parse_architecture(std::string_view json_text, std::string_view where);

}  // namespace qcqa
