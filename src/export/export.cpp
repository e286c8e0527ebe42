#include "qcqa/export/export.hpp"

#include <algorithm>

#include "export/output_tensors.hpp"
#include "export/side_files.hpp"
#include "export/tensor_producer.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;

void require_plan_fits(const Model& model, const Plan& plan) {
  const auto layers = model.layers();
  bool fits = plan.layers.size() == layers.size();
  for (std::size_t i = 0; fits && i < layers.size(); ++i) fits = plan.layers[i].heads() == layers[i].kv_heads;
  if (!fits) {
    throw Error(ErrorKind::invalid_argument, model.path().string(), "the plan must have one label per KV head of the model",
                "a plan for another shape");
  }
}

std::string layers_in_the_way(const Plan& plan) {
  std::string unequal;
  std::string other;
  const int common = plan.layers.front().groups();
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    if (!plan.layers[i].has_equal_groups()) unequal += (unequal.empty() ? "" : ", ") + std::to_string(i);
    if (plan.layers[i].groups() != common) other += (other.empty() ? "" : ", ") + std::to_string(i);
  }
  std::string text;
  if (!unequal.empty()) text = "unequal groups in layers " + unequal;
  if (!other.empty()) text += (text.empty() ? "" : "; ") + std::string("another group count than layer 0 in layers ") + other;
  return text;
}

std::vector<TensorSpec> specs_of(const std::vector<OutputTensor>& tensors) {
  std::vector<TensorSpec> specs;
  specs.reserve(tensors.size());
  for (const OutputTensor& tensor : tensors) specs.push_back(tensor.spec);
  return specs;
}

ExportSummary summarise(const Model& model, const Plan& plan, const ExportOptions& options,
                        const std::vector<OutputTensor>& tensors) {
  const ShardPlan shards = plan_shards(specs_of(tensors), options.writer);
  ExportSummary summary;
  summary.shards = static_cast<int>(shards.shards.size());
  summary.tensor_bytes_before = model.checkpoint().total_bytes();
  summary.tensor_bytes_after = shards.tensor_bytes;
  summary.file_bytes = shards.total_file_bytes + options.report.size();
  for (const fs::path& file : side_files(model.path())) summary.file_bytes += fs::file_size(file);
  summary.buffer_bytes = kExportBufferBytes;
  summary.heads_before = model.total_kv_heads();
  summary.heads_after = options.layout == Layout::gqa ? plan.kv_heads() : summary.heads_before;
  summary.kv_bytes_per_token_before = model.kv_bytes_per_token();
  for (const AttentionLayer& layer : model.layers()) {
    const int heads = options.layout == Layout::gqa ? plan.layers[static_cast<std::size_t>(layer.layer)].groups() : layer.kv_heads;
    summary.kv_bytes_per_token_after += std::int64_t{2} * heads * layer.head_dim * dtype_bits(options.dtype.value_or(layer.dtype)) / 8;
  }
  return summary;
}

void copy_side_file(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::copy_file(from, to, error);
  if (error) throw Error(ErrorKind::io, to.string(), "cannot be written", error.message());
  fs::permissions(to, fs::perms::owner_write, fs::perm_options::add, error);  // sources may be read-only
}

}  // namespace

void require_expressible(const Model& model, const Plan& plan, Layout layout) {
  require_plan_fits(model, plan);
  if (layout != Layout::gqa) return;
  if (!plan.is_uniform()) {
    throw Error(ErrorKind::unsupported, "--layout gqa", "stock runtimes need equal groups and one group count for all layers",
                layers_in_the_way(plan),
                "Use --cardinality equal or contiguous with --groups, or --kv without --point, or --layout expanded.");
  }
  if (!plan.is_identity()) require_layout(model, layout);
}

void require_layout(const Model& model, Layout layout) {
  const Architecture& architecture = model.architecture();
  if (layout != Layout::gqa || !architecture.kv_heads_key.empty()) return;
  throw Error(ErrorKind::unsupported, "--layout gqa",
              "the " + architecture.family + " model class must have a setting for the number of KV heads", "none",
              "Use --layout expanded.");
}

void require_writable_target(const Model& model, const fs::path& target, Overwrite overwrite) {
  const fs::path source = fs::weakly_canonical(model.path());
  const fs::path output = fs::weakly_canonical(target);
  const auto [rest, end] = std::mismatch(output.begin(), output.end(), source.begin(), source.end());
  // Writing above the source would replace it too.
  if (source == output || rest == output.end()) {
    throw Error(ErrorKind::invalid_argument, target.string(), "the output must not be (or contain) the model's own folder",
                source.string(), "Choose another folder.");
  }
  std::error_code ignored;
  if (overwrite == Overwrite::refuse && fs::exists(target, ignored) &&
      !(fs::is_directory(target, ignored) && fs::is_empty(target, ignored))) {
    throw Error(ErrorKind::invalid_argument, target.string(), "the output folder must be new or empty",
                fs::is_directory(target, ignored) ? "a folder with files" : "a file", "Use --force to replace it.");
  }
}

ExportSummary preview_export(const Model& model, const Plan& plan, const ExportOptions& options) {
  require_expressible(model, plan, options.layout);
  return summarise(model, plan, options, plan_output_tensors(model, plan, options));
}

ExportSummary export_model(const Model& model, const Plan& plan, const ExportOptions& options, const fs::path& target,
                           Overwrite overwrite, const ProgressFn& progress) {
  require_expressible(model, plan, options.layout);
  require_writable_target(model, target, overwrite);
  const std::vector<OutputTensor> tensors = plan_output_tensors(model, plan, options);
  const ExportSummary summary = summarise(model, plan, options, tensors);

  StagedFolder folder(target, overwrite);
  require_free_space(folder.path(), summary.file_bytes);
  CheckpointWriter writer(folder.path(), specs_of(tensors), options.writer);
  std::vector<std::byte> buffer;
  std::int64_t done = 0;
  for (const OutputTensor& tensor : tensors) {
    write_tensor(tensor, writer, buffer);
    done += static_cast<std::int64_t>(tensor.source->bytes.size());
    if (progress && !progress({"convert", done, static_cast<std::int64_t>(summary.tensor_bytes_before)})) {
      throw Error(ErrorKind::interrupted, target.string(), "interrupted, nothing was written");
    }
  }
  writer.finish();
  for (const fs::path& file : side_files(model.path())) copy_side_file(file, folder.path() / file.filename());
  write_file_atomically(folder.path() / "config.json", converted_config(model, plan, options));
  write_file_atomically(folder.path() / "README.md", model_card(model, plan, options, summary));
  if (!options.report.empty()) write_file_atomically(folder.path() / kReportFile, options.report);
  folder.commit();
  return summary;
}

}  // namespace qcqa
