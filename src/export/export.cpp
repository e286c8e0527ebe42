#include "qcqa/export/export.hpp"

#include <algorithm>
#include <memory>

#include "checkpoint/python_json.hpp"
#include "checkpoint/weight_files.hpp"
#include "export/gguf_model.hpp"
#include "export/layout.hpp"
#include "export/side_files.hpp"
#include "export/tensor_producer.hpp"
#include "qcqa/merge/pooled_model.hpp"
#include "qcqa/support/error.hpp"
#include "text/gguf_tokenizer_files.hpp"
#include "text/portable_tokenizer.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;

/// Of a composite: tensors and config.json as the whole folder has them, or a note that other parts are left out.
void fit_into_composite(const Model& model, const ExportOptions& options, Blueprint& blueprint) {
  const Composite* composite = model.settings().composite();
  if (!composite) return;
  if (can_be_read(options.layout, options.format)) {
    for (OutputTensor& tensor : blueprint.tensors) tensor.spec.name = model.name_in_folder(tensor.spec.name);
    blueprint.config = model.settings().document_with(blueprint.config);
    return;
  }
  blueprint.notes.push_back("the output holds the text model of the " + composite->family + " by itself");
}

void require_plan_fits(const Model& model, const Plan& plan) {
  const auto layers = model.layers();
  bool fits = plan.layers.size() == layers.size();
  for (std::size_t i = 0; fits && i < layers.size(); ++i) fits = plan.layers[i].grouping.heads() == layers[i].kv_heads;
  if (!fits) {
    throw Error(ErrorKind::invalid_argument, model.path().string(),
                "the plan must have one label per KV head of the model", "a plan for another shape");
  }
  if (!plan.has_own_caches()) {
    throw Error(ErrorKind::unsupported, model.path().string(),
                "layers that read the KV cache of another are not written yet", "such a plan");
  }
}

std::int64_t elements_of(const OutputTensor& tensor) {
  return static_cast<std::int64_t>(tensor.byte_count() * 8 / static_cast<std::uint64_t>(dtype_bits(tensor.spec.dtype)));
}

/// Zeros that padding added to a tensor.
std::int64_t padding_of(const OutputTensor& tensor) {
  if (tensor.kind == OutputTensor::Kind::ranges) {
    std::int64_t zero_rows = 0;
    for (const RowRange& range : tensor.ranges) zero_rows += range.source ? 0 : range.count;
    return tensor.spec.shape[0] == 0 ? 0 : elements_of(tensor) / tensor.spec.shape[0] * zero_rows;
  }
  const auto zero_row = [](const HeadSlot& row) { return row.head == kZeroHead; };
  if (tensor.kind == OutputTensor::Kind::heads) {
    return elements_of(tensor) / static_cast<std::int64_t>(tensor.rows.size()) *
           std::ranges::count_if(tensor.rows, zero_row);
  }
  if (tensor.kind != OutputTensor::Kind::columns) return 0;
  return elements_of(tensor) / static_cast<std::int64_t>(tensor.column_order.size()) *
         std::ranges::count(tensor.column_order, kZeroHead);
}

ExportSummary summarise(const Model& model, const Blueprint& blueprint, const ExportOptions& options) {
  ExportSummary summary;
  summary.tensor_bytes_before = model.checkpoint().total_bytes();
  for (const OutputTensor& tensor : blueprint.tensors) summary.tensor_bytes_after += tensor.byte_count();
  summary.file_bytes = options.report.size();
  if (options.format == FileFormat::gguf) {
    summary.shards = 1;
    summary.file_bytes += lay_out_gguf(blueprint.gguf, specs_of(blueprint.tensors)).file_bytes;
  } else {
    const ShardPlan shards = plan_shards(specs_of(blueprint.tensors), options.writer);
    summary.shards = static_cast<int>(shards.shards.size());
    summary.file_bytes += shards.total_file_bytes;
    SideFiles files = side_files(model);
    for (const fs::path& file : files.copied) summary.file_bytes += fs::file_size(model.path() / file);
    summary.left_out = std::move(files.left_out);
  }
  for (const auto& [name, content] : blueprint.files) summary.file_bytes += content.size();
  summary.buffer_bytes = kExportBufferBytes;
  summary.heads_before = model.total_kv_heads();
  summary.kv_bytes_per_token_before = model.kv_bytes_per_token();
  for (const LayerHeads& heads : blueprint.heads) {
    const AttentionLayer& layer = *heads.layer;
    const int kv_heads =
        blueprint.cached.empty() ? heads.kv_heads() : blueprint.cached[static_cast<std::size_t>(layer.layer)];
    summary.heads_after += kv_heads;
    summary.query_heads_before += layer.query_heads;
    summary.query_heads_after += heads.query_heads();
    summary.kv_bytes_per_token_after +=
        std::int64_t{2} * kv_heads * layer.head_dim * dtype_bits(options.dtype.value_or(layer.dtype)) / 8;
  }
  for (const OutputTensor& tensor : blueprint.tensors) summary.padding_parameters += padding_of(tensor);
  summary.written_as = blueprint.written_as;
  summary.same_up_to = blueprint.same_up_to;
  summary.notes = blueprint.notes;
  return summary;
}

void add_tokenizer(const nlohmann::json& tokenizer, const nlohmann::json& config, Blueprint& blueprint) {
  blueprint.files.emplace_back("tokenizer.json", tokenizer.dump(2) + "\n");
  blueprint.files.emplace_back("tokenizer_config.json", config.dump(2) + "\n");
}

/// The model's type says how its tokenizer is read; where the output has another, the files say all themselves.
void keep_tokenizer(const Model& model, Blueprint& blueprint) {
  const auto before = model.config().find("model_type");
  const nlohmann::ordered_json& config = blueprint.config;
  const auto after = config.find("model_type");
  if (after == config.end() || (before != model.config().end() && *before == *after)) return;
  try {
    const auto files = tokenizer_beside(model.path(), after->get<std::string>());
    if (!files) return;
    add_tokenizer(files->tokenizer, files->config, blueprint);
    blueprint.notes.emplace_back(
        "the output's model type reads tokenizers otherwise than the input's, so tokenizer.json and "
        "tokenizer_config.json are written anew, for the same ids");
  } catch (const Error& error) {  // the weights are right all the same
    blueprint.notes.push_back("the output's model type may read the tokenizer otherwise than the input's: " +
                              std::string(error.what()));
  }
}

/// A GGUF file holds its tokenizer itself; a folder has it in files.
void add_made_files(const Model& model, FileFormat format, Blueprint& blueprint) {
  if (format == FileFormat::gguf) return;
  if (!model.gguf()) return keep_tokenizer(model, blueprint);
  if (!has_vocabulary(*model.gguf())) {
    blueprint.notes.emplace_back("the GGUF file has no vocabulary, so the folder has no tokenizer");
    return;
  }
  const GgufTokenizerFiles files = gguf_tokenizer_files(*model.gguf());
  add_tokenizer(files.tokenizer, files.config, blueprint);
}

Blueprint build_blueprint(const Model& model, const Plan& plan, const ExportOptions& options) {
  Blueprint blueprint = layout_writer(options.layout, options.format).build(model, plan, options);
  add_made_files(model, options.format, blueprint);
  fit_into_composite(model, options, blueprint);
  return blueprint;
}

std::unique_ptr<TensorSink> open_writer(const fs::path& folder, const Blueprint& blueprint,
                                        const ExportOptions& options) {
  if (options.format == FileFormat::gguf) {
    return std::make_unique<GgufWriter>(folder / kGgufFile, blueprint.gguf, specs_of(blueprint.tensors));
  }
  return std::make_unique<CheckpointWriter>(folder, specs_of(blueprint.tensors), options.writer);
}

/// A file that no reader checked would be believed until it is served.
void require_read_back(const fs::path& file, const Blueprint& blueprint) {
  const GgufFile read = read_gguf(file);
  bool same = read.metadata == blueprint.gguf && read.tensors.size() == blueprint.tensors.size();
  for (std::size_t i = 0; same && i < read.tensors.size(); ++i) {
    const TensorSpec& spec = blueprint.tensors[i].spec;
    same =
        read.tensors[i].name == spec.name && read.tensors[i].dtype == spec.dtype && read.tensors[i].shape == spec.shape;
  }
  if (!same) throw Error(ErrorKind::internal, file.string(), "must read back as it was written");
}

}  // namespace

void require_unconverted(const Model& model) {
  if (!model.has_heads_per_layer() && !model.has_head_groups()) return;
  throw Error(ErrorKind::unsupported, model.path().string(), "has been converted already, layer by layer",
              std::string(model.has_heads_per_layer() ? kKvHeadsPerLayer : kKvHeadGroups) + " in config.json",
              "Search and convert the model it was made from.");
}

void require_expressible(const Model& model, const Plan& plan, Layout layout, FileFormat format) {
  require_unconverted(model);
  require_plan_fits(model, plan);
  layout_writer(layout, format).require_plan(model, plan);
}

void require_layout(const Model& model, Layout layout, FileFormat format) {
  require_unconverted(model);
  layout_writer(layout, format).require_model(model);
}

void require_tokenizer(const Model& model, FileFormat format) {
  if (format == FileFormat::gguf) require_gguf_tokenizer(model);
}

void require_writable_target(const Model& model, const fs::path& target, Overwrite overwrite) {
  const fs::path source = fs::weakly_canonical(model.path());
  const fs::path output = fs::weakly_canonical(target);
  const auto [rest, end] = std::mismatch(output.begin(), output.end(), source.begin(), source.end());
  // Writing above the source would replace it too.
  if (source == output || rest == output.end()) {
    throw Error(ErrorKind::invalid_argument, target.string(),
                "the output must not be (or contain) the model's own folder", source.string(),
                "Choose another folder.");
  }
  std::error_code ignored;
  const fs::path here = fs::weakly_canonical(fs::current_path(), ignored);
  if (std::mismatch(output.begin(), output.end(), here.begin(), here.end()).first == output.end()) {
    throw Error(ErrorKind::invalid_argument, target.string(),
                "the output must not be (or contain) the folder that qcqa is run in", here.string(),
                "Choose another folder.");
  }
  if (overwrite == Overwrite::replace || is_new_or_empty(target)) return;
  throw Error(ErrorKind::invalid_argument, target.string(), "the output folder must be new or empty",
              fs::is_directory(target, ignored) ? "a folder with files"
              : fs::exists(target, ignored)     ? "a file"
                                                : "a link to nothing",
              "Use --force to replace what qcqa wrote.");
}

ExportSummary preview_export(const Model& model, const Plan& plan, const ExportOptions& options) {
  require_expressible(model, plan, options.layout, options.format);
  const Model pooled = pooled_model(model, plan, Pooled::all);
  const Blueprint blueprint = build_blueprint(pooled, plan, options);
  return summarise(model, blueprint, options);
}

ExportSummary export_model(const Model& model, const Plan& plan, const ExportOptions& options, const fs::path& target,
                           Overwrite overwrite, const ProgressFn& progress) {
  require_expressible(model, plan, options.layout, options.format);
  require_writable_target(model, target, overwrite);
  const Model pooled = pooled_model(model, plan, Pooled::all);
  const Blueprint blueprint = build_blueprint(pooled, plan, options);
  const ExportSummary summary = summarise(model, blueprint, options);

  StagedFolder folder(target, overwrite);
  require_free_space(folder.path(), summary.file_bytes);
  const auto writer = open_writer(folder.path(), blueprint, options);
  write_tensors(blueprint.tensors, *writer, {"convert", target, progress});
  if (options.format == FileFormat::gguf) {
    require_read_back(folder.path() / kGgufFile, blueprint);
  } else {
    for (const fs::path& file : side_files(model).copied) copy_side_file(model.path() / file, folder.path() / file);
    nlohmann::ordered_json config = blueprint.config;
    config.erase(kWeightFileKey);  // these weights have their usual name
    write_file_atomically(folder.path() / "config.json", dump_python_json(std::move(config), 2) + "\n");
  }
  for (const auto& [name, content] : blueprint.files) write_file_atomically(folder.path() / name, content);
  write_file_atomically(folder.path() / "README.md", model_card(model, plan, options, summary));
  if (!options.report.empty()) write_file_atomically(folder.path() / kReportFile, options.report);
  folder.commit();
  return summary;
}

}  // namespace qcqa
