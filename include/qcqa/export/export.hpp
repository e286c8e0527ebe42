#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/checkpoint/writer.hpp"
#include "qcqa/fitness/merge_method.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/plan/plan.hpp"
#include "qcqa/plan/plan_limits.hpp"
#include "qcqa/support/progress.hpp"

namespace qcqa {

/// The report inside an output folder.
inline constexpr const char* kReportFile = "qcqa-report.json";

/// What a distillation of a converted model came to, inside its output folder.
inline constexpr const char* kDistillFile = "qcqa-distill.json";

/// The weights inside an output folder of FileFormat::gguf.
inline constexpr const char* kGgufFile = "model.gguf";

/// How a plan is written down. What each can express, and which runtimes load it: layout_infos().
enum class Layout {
  gqa,           ///< the family's own class with fewer KV heads
  expanded,      ///< the shape of the original, merged heads copied to every member; any plan, saves no memory
  remote_code,   ///< transformers: the family's own class with head counts per layer
  shared_cache,  ///< transformers: as expanded, but one head of each group is cached
  nemotron_nas,  ///< vLLM's class for Nemotron-NAS models, head counts per layer
  openelm,       ///< mlx-lm's class for OpenELM, head counts per layer
  deci,          ///< GGUF with head counts per layer
};

/// The kind of file.
enum class FileFormat { safetensors, gguf };

/// A runtime to write for.
enum class Target { transformers, vllm, llama_cpp, mlx };

struct TargetInfo {
  Target target{};
  std::string_view name;
  std::string_view help;
};
[[nodiscard]] std::span<const TargetInfo> target_infos();
[[nodiscard]] std::string_view target_name(Target target);

/// A row of the table that names, help texts and errors come from.
struct LayoutInfo {
  Layout layout{};
  std::string_view name;
  std::string_view help;  ///< what it can express, and for whom
};
[[nodiscard]] std::span<const LayoutInfo> layout_infos();
[[nodiscard]] std::string_view layout_name(Layout layout);

/// Whether Model::open reads what this layout writes.
[[nodiscard]] bool can_be_read(Layout layout, FileFormat format);

/// The plans that conversions by budget choose from: gqa takes uniform ones, which need no padding.
[[nodiscard]] PlanLimits plan_limits(Layout layout);

struct ExportOptions {
  Layout layout = Layout::gqa;
  FileFormat format = FileFormat::safetensors;
  std::optional<Dtype> dtype{};  ///< of all floating-point tensors; nothing keeps each tensor's own
  WriterOptions writer{};
  MergeKind merge = MergeKind::mean;  ///< how the model's heads were merged, for the model card
  std::string command{};              ///< for the model card
  std::string measured{};             ///< what the result came to, sentences for the model card; empty: not looked at
  std::string report{};               ///< JSON text to write as qcqa-report.json
};

struct ExportSummary {
  std::int64_t kv_bytes_per_token_before = 0, kv_bytes_per_token_after = 0;
  std::uint64_t tensor_bytes_before = 0, tensor_bytes_after = 0;
  std::uint64_t file_bytes = 0;    ///< of the weights and all side files
  std::uint64_t buffer_bytes = 0;  ///< memory needed above the mapped input
  int shards = 0;
  int heads_before = 0, heads_after = 0;              ///< KV heads over all layers (cached ones, for the layout)
  int query_heads_before = 0, query_heads_after = 0;  ///< over all layers; more after than before: padding
  std::int64_t padding_parameters = 0;                ///< zeros that stand for no weight of the input
  std::string written_as{};                           ///< the model class, when it is not the input's own
  int same_up_to = 0;                                 ///< tokens of a text that it computes the same for; 0: any
  std::vector<std::string> notes{};                   ///< what a user should know, a line each
  std::vector<std::string> left_out{};                ///< files of the model's folder that are not in the output
};

/// "computes the same", as far as it does.
[[nodiscard]] std::string same_result(const ExportSummary& summary);

/// What padding costs, in one line; empty without padding.
[[nodiscard]] std::string padding_note(const ExportSummary& summary, std::int64_t parameters);

/// @throws Error(unsupported) with the layers that stand in the way and what would work instead
void require_expressible(const Model& model, const Plan& plan, Layout layout,
                         FileFormat format = FileFormat::safetensors);

/// Throws Error(unsupported) for a model that a conversion has given head counts per layer.
void require_unconverted(const Model& model);

/// Throws Error(unsupported) when the model's family cannot be written in this layout at all, whatever the plan.
void require_layout(const Model& model, Layout layout, FileFormat format = FileFormat::safetensors);

/// Throws Error(unsupported) when this kind of file cannot hold the model's tokenizer, whatever the layout and the
/// plan.
void require_tokenizer(const Model& model, FileFormat format);

/// The layout for a plan in a runtime.
struct LayoutChoice {
  Layout layout{};
  FileFormat format{};
  std::string why;
};
/// @throws Error(unsupported) when the runtime has none for it, with what stands in the way of each and what could be
/// done
[[nodiscard]] LayoutChoice choose_layout(const Model& model, const Plan& plan, Target target);

/// A layout that a runtime loads, as far as a model can be written in it whatever the plan.
struct TargetLayout {
  Target target{};
  Layout layout{};
  FileFormat format{};
  std::string why_not{};  ///< empty: it can
  int same_up_to = 0;     ///< tokens of a text that it computes the same for, a window's; 0: any
};
/// Every runtime's, the one that choose_layout prefers first.
[[nodiscard]] std::vector<TargetLayout> target_layouts(const Model& model);

/// Which plans a search for a runtime should offer, so that choose_layout finds a layout for each.
[[nodiscard]] PlanLimits limits_for(const Model& model, Target target);

/// Whether the layout can hold groups of neighbouring heads only, of equal size, since scores fall with distance by the
/// number of a query head.
[[nodiscard]] bool needs_neighbours(const Model& model, Layout layout);

/// Throws unless export_model could begin to write: not in place, nothing there to lose.
void require_writable_target(const Model& model, const std::filesystem::path& target, Overwrite overwrite);

/// What export_model would write. Touches no tensor byte and no disk.
[[nodiscard]] ExportSummary preview_export(const Model& model, const Plan& plan, const ExportOptions& options);

/// Writes a complete folder: weights, edited config.json, tokenizer and side files, model card, report. The folder
/// appears whole or not at all.
/// @throws Error(invalid_argument) when `target` is the model's own folder or not empty (see StagedFolder);
///         Error(io) when the disk is too small or a write fails; Error(interrupted) when progress asks to stop
ExportSummary export_model(const Model& model, const Plan& plan, const ExportOptions& options,
                           const std::filesystem::path& target, Overwrite overwrite, const ProgressFn& progress = {});

}  // namespace qcqa
