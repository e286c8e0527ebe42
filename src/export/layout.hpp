#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/gguf.hpp"
#include "export/output_tensors.hpp"

namespace qcqa {

/// What a layout makes of a model and a plan. Nothing of the weights has been read.
struct Blueprint {
  std::vector<LayerHeads> heads;  ///< one per layer, as stored
  std::vector<int> cached;        ///< KV heads that each layer caches, where they are fewer than it stores; or empty
  std::vector<OutputTensor> tensors;
  nlohmann::ordered_json config;                             ///< config.json
  GgufMetadata gguf{};                                       ///< for FileFormat::gguf, in place of config.json
  std::vector<std::pair<std::string, std::string>> files{};  ///< more files: name, content
  std::string written_as{};                                  ///< the model class, when it is not the input's own
  int same_up_to = 0;                                        ///< tokens of a text that it computes the same for; 0: any
  std::vector<std::string> notes{};                          ///< what a user should know, a line each
};

/// What a layout can do in one kind of file.
struct LayoutWriter {
  /// Throws Error(unsupported) when no plan of this model can be written so.
  void (*require_model)(const Model& model);
  /// Throws Error(unsupported) with the layers that stand in the way and what would work instead.
  void (*require_plan)(const Model& model, const Plan& plan);
  Blueprint (*build)(const Model& model, const Plan& plan, const ExportOptions& options);
};

/// One layout: its row of the table, and what it can do. Each is implemented in a file of its own.
struct LayoutRow {
  LayoutInfo info;
  PlanLimits plans;          ///< the plans that conversions by budget and searches for it choose from
  bool can_be_read = false;  ///< Model::open reads it, as a folder
  std::optional<LayoutWriter> safetensors, gguf{};
};

[[nodiscard]] std::span<const LayoutRow> layout_rows();
[[nodiscard]] const LayoutRow& layout_row(Layout layout);
/// @throws Error(invalid_argument) when the layout has no such form
[[nodiscard]] const LayoutWriter& layout_writer(Layout layout, FileFormat format);

// The rows, in the order of the help text.
[[nodiscard]] const LayoutRow& gqa_layout();
[[nodiscard]] const LayoutRow& expanded_layout();
[[nodiscard]] const LayoutRow& remote_code_layout();
[[nodiscard]] const LayoutRow& shared_cache_layout();
[[nodiscard]] const LayoutRow& nemotron_nas_layout();
[[nodiscard]] const LayoutRow& openelm_layout();
[[nodiscard]] const LayoutRow& deci_layout();

/// One KV head per group, every group padded to the largest of its layer.
[[nodiscard]] std::vector<LayerHeads> heads_per_layer(const Model& model, const Plan& plan);
/// ... to the largest of the model, or more.
[[nodiscard]] std::vector<LayerHeads> heads_alike(const Model& model, const Plan& plan, int group_places);
/// Query heads of the largest group of the model.
[[nodiscard]] int largest_group(const Model& model, const Plan& plan);

/// Whether the query and key heads of a token are normalised together.
[[nodiscard]] bool norms_span_heads(const Model& model);
/// Throws Error(unsupported) where they are and a layer's groups are of unequal size:
/// copies of a head count as often in such a norm as they are there, and zeros count too.
void require_norms_of_groups(const Model& model, const Plan& plan, std::string_view layout);

/// What is left of layouts where the family's class cannot hold fewer KV heads, a sentence of advice.
[[nodiscard]] std::string use_of_any_class(const Architecture& architecture);

/// Whether each query head has to stay at its place, since scores fall with distance by its number.
[[nodiscard]] bool query_heads_stay(const Model& model);
/// Throws Error(unsupported) where some would not.
void require_places_of_queries(const Model& model, const std::vector<LayerHeads>& heads, std::string_view layout);

/// "unequal groups in layers 1, 2; another group count than layer 0 in layers 3"
[[nodiscard]] std::string layers_in_the_way(const Plan& plan);

/// config.json of the input with what holds for every layout: the type of the weights.
[[nodiscard]] nlohmann::ordered_json base_config(const Model& model, std::optional<Dtype> dtype);

/// What every class reads, into a config.json that is written anew: special tokens, type of the weights.
void copy_common_keys(const Model& model, std::optional<Dtype> dtype, nlohmann::ordered_json& config);

}  // namespace qcqa
