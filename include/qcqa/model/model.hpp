#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "qcqa/checkpoint/checkpoint.hpp"
#include "qcqa/model/architecture.hpp"
#include "qcqa/model/model_config.hpp"
#include "qcqa/support/limits.hpp"

namespace qcqa {

/// The rows of one head in a projection: `weight` is (head_dim, hidden_size), `bias` (head_dim) or empty. The heads of
/// a role have one type; those of another role may have another.
struct HeadRows {
  TensorSlice weight;
  TensorSlice bias;
  TensorSlice norm{};  ///< (head_dim) weights of the head's own in a norm of queries or keys, or empty
  TensorSlice sink{};  ///< of query heads: one number, or empty; see AttentionDescription::sinks
};

/// One place in a projection tensor: head_dim rows that belong to `head` of `role`.
struct HeadSlot {
  HeadRole role{};
  int head = 0;
};

/// The heads in a projection tensor from its first row to its last, for these head counts.
[[nodiscard]] std::vector<HeadSlot> head_slots(const Projection& projection, int query_heads, int kv_heads);

/// The head view of one layer: what everything after this room sees of an attention block.
struct AttentionLayer {
  int layer = 0;  ///< its number among the layers with heads, which is the one that plans and reports know
  int place = 0;  ///< its number in the model
  int query_heads = 0, kv_heads = 0, head_dim = 0, hidden_size = 0;
  Dtype dtype{};                                  ///< of keys as they are written, and so of the KV cache
  std::vector<HeadRows> query{}, key{}, value{};  ///< query_heads, kv_heads, kv_heads entries
  std::vector<HeadRows> gate{};                   ///< one per query head, or none
  const TensorView* output = nullptr;             ///< (hidden_size, query_heads * head_dim)

  [[nodiscard]] const std::vector<HeadRows>& heads(HeadRole role) const noexcept {
    switch (role) {
      case HeadRole::query:
        return query;
      case HeadRole::key:
        return key;
      case HeadRole::value:
        return value;
      case HeadRole::gate:
        break;
    }
    return gate;
  }
  [[nodiscard]] std::vector<HeadRows>& heads(HeadRole role) noexcept {
    return const_cast<std::vector<HeadRows>&>(std::as_const(*this).heads(role));
  }
  /// The KV head that a query head attends with.
  [[nodiscard]] int kv_head_of(int query_head) const noexcept { return query_head / (query_heads / kv_heads); }
  [[nodiscard]] std::int64_t kv_bytes_per_token() const noexcept {
    return std::int64_t{2} * kv_heads * head_dim * dtype_bits(dtype) / 8;
  }
};

/// A checkpoint folder with its config.json, or a GGUF file seen as the folder that it was made from, bound to an
/// architecture and checked: every tensor that the model class needs is there and has the right shape, attention
/// weights a floating-point type. Tensors have the names that the class has for them, matrices are (outputs, inputs),
/// and biases that the class lacks are not there, whatever the files hold. Of a composite it is the text model, with
/// the tensors of the other parts beside its own. Opening touches no tensor byte.
class Model {
 public:
  /// @param path      a Hugging Face folder, a GGUF file, or a folder that holds nothing but one
  /// @param families  must outlive the model
  /// @throws Error(not_found, corrupt, unsupported)
  [[nodiscard]] static Model open(const std::filesystem::path& path, const Families& families = Families::built_in());

  /// Of a folder whose model_type no family has: those that can be run and whose tensors, with the sizes of its
  /// config.json, are exactly the folder's. See Families::with_unknown_as.
  struct FittingFamilies {
    std::string model_type;             ///< the folder's; empty where it has none, or nothing follows here
    std::vector<std::string> families;  ///< the likeliest first; empty for a folder whose model_type is known
    /// Where none fits: the one that shares most tensors with the folder, and "1 tensor more (x), 2 missing (y, z)".
    /// Empty where not twice as many tensors agree as differ, or config.json says by itself why no family can fit.
    std::string nearest, difference;
  };
  [[nodiscard]] static FittingFamilies families_that_fit(const std::filesystem::path& folder,
                                                         const Families& families = Families::built_in());

  /// This model with the tensors of `replacements` in the place of its own.
  /// @throws Error(invalid_argument) for a tensor that the model lacks, or has in another shape
  [[nodiscard]] Model with(const Checkpoint& replacements) const;

  /// The folder, or the GGUF file.
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  /// The file that the config was read from.
  [[nodiscard]] const std::filesystem::path& config_file() const noexcept { return config_.file(); }
  /// The file, when the model was read from GGUF; or nullptr.
  [[nodiscard]] const GgufFile* gguf() const noexcept { return gguf_.get(); }
  [[nodiscard]] const ModelConfig& settings() const noexcept { return config_; }
  /// config.json, or a composite's part of it that is the text model's.
  [[nodiscard]] const nlohmann::ordered_json& config() const noexcept { return config_.json(); }
  [[nodiscard]] const Architecture& architecture() const noexcept { return config_.architecture(); }
  [[nodiscard]] const Checkpoint& checkpoint() const noexcept { return checkpoint_; }
  /// Those with heads.
  [[nodiscard]] std::span<const AttentionLayer> layers() const noexcept { return layers_; }

  /// Whether config.json states head counts per layer, as qcqa writes them: such a model can be run, not converted
  /// again.
  [[nodiscard]] bool has_heads_per_layer() const { return config().contains(kKvHeadsPerLayer); }
  /// Whether it states which heads are equal, so that one of each group is cached: it cannot be converted again either.
  [[nodiscard]] bool has_head_groups() const { return config().contains(kKvHeadGroups); }

  /// The name of one of the class's tensors in the model's folder: another where the model is part of a composite.
  [[nodiscard]] std::string name_in_folder(const std::string& tensor) const;

  /// What was decided while opening that somebody should know, a sentence each.
  [[nodiscard]] std::span<const std::string> notes() const noexcept { return notes_; }

  /// Weights that a tensor stands for: its elements, but two for each byte of blocks in MXFP4 and none for their
  /// scales.
  [[nodiscard]] std::int64_t weight_count(const TensorView& tensor) const noexcept;
  /// Parameters of all tensors.
  [[nodiscard]] std::int64_t parameter_count() const noexcept;
  /// Bytes of KV cache for one token, all layers, in the checkpoint's own type.
  [[nodiscard]] std::int64_t kv_bytes_per_token() const noexcept;
  /// Of a sequence of so many tokens: a layer with a window keeps no more than that.
  /// @param most_heads  as if no layer had more KV heads
  [[nodiscard]] std::int64_t kv_bytes(std::int64_t tokens, int most_heads = kMaxKvHeads) const;
  /// The numbers in the model of its layers with heads.
  [[nodiscard]] std::vector<int> places() const;
  /// KV heads of each layer.
  [[nodiscard]] std::vector<int> kv_heads() const;
  /// Sum of all layers' KV heads.
  [[nodiscard]] int total_kv_heads() const noexcept;

  /// 16 hex digits that tell this checkpoint from others: tensor names, types and shapes, and samples of the key and
  /// value bytes (so fine-tunes of one base differ). Reads a few hundred KiB.
  [[nodiscard]] std::string fingerprint() const;

 private:
  static Model open_gguf(const std::filesystem::path& file, std::vector<std::string> notes);
  Model(std::filesystem::path path, ModelConfig config, const Checkpoint& stored, std::shared_ptr<const GgufFile> gguf,
        std::vector<std::string> notes);
  void bind_layers();
  void note_layers_with_heads();

  std::filesystem::path path_;
  ModelConfig config_;
  Checkpoint checkpoint_;
  std::map<std::string, std::string> names_in_folder_;
  std::vector<AttentionLayer> layers_;
  std::shared_ptr<const GgufFile> gguf_;
  std::vector<std::string> notes_;
};

}  // namespace qcqa
