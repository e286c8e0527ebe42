#include "checkpoint/shard_layout.hpp"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <tuple>

#include "qcqa/support/error.hpp"
#include "support/checked.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

constexpr std::uint64_t kMaxWrittenHeader = 100'000'000;  // readers refuse longer ones

[[noreturn]] void refuse(const TensorSpec& spec, std::string_view rule, std::string_view found = {}) {
  throw Error(ErrorKind::invalid_argument, "tensor " + in_quotes(spec.name), rule, found);
}

std::uint64_t byte_count(const TensorSpec& spec) {
  std::optional<std::uint64_t> bits = static_cast<std::uint64_t>(dtype_bits(spec.dtype));
  for (const std::int64_t extent : spec.shape) {
    if (extent < 0) refuse(spec, "a shape must not be negative", std::to_string(extent));
    if (bits) bits = checked_multiply(*bits, static_cast<std::uint64_t>(extent));
  }
  if (!bits) refuse(spec, "the size of a tensor must fit in 64 bits");
  if (*bits % 8 != 0) refuse(spec, "a tensor must fill whole bytes", std::to_string(*bits) + " bits");
  return *bits / 8;
}

std::string json_name(const TensorSpec& spec) {
  try {
    return nlohmann::json(spec.name).dump();
  } catch (const nlohmann::json::exception&) {
    refuse(spec, "a tensor name must be valid UTF-8");
  }
}

std::vector<std::size_t> sorted_by_name(std::span<const TensorSpec> specs) {
  std::vector<std::size_t> order(specs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) -> const std::string& { return specs[i].name; });
  for (std::size_t i = 0; i < order.size(); ++i) {
    const TensorSpec& spec = specs[order[i]];
    if (spec.name == "__metadata__") refuse(spec, "this name is reserved by the format");
    if (i > 0 && spec.name == specs[order[i - 1]].name) refuse(spec, "a tensor must be declared once", "twice");
  }
  return order;
}

/// Offsets and header of one shard whose tensors are chosen.
void complete(ShardLayout& shard, std::span<const TensorSpec> specs) {
  std::ranges::stable_sort(shard.entries, std::greater<>(),
                           [&](const ShardLayout::Entry& p) { return dtype_bits(specs[p.spec].dtype); });
  std::string json = R"({"__metadata__":{"format":"pt"})";
  std::uint64_t data_end = 0;
  for (ShardLayout::Entry& entry : shard.entries) {
    const TensorSpec& spec = specs[entry.spec];
    const auto end = checked_add(data_end, entry.byte_count);
    if (!end) refuse(spec, "the size of a shard must fit in 64 bits");
    entry.begin = data_end;
    json.append(",").append(json_name(spec));
    json.append(R"(:{"dtype":")").append(dtype_name(spec.dtype));
    json.append(R"(","shape":)").append(nlohmann::json(spec.shape).dump());
    json.append(R"(,"data_offsets":[)").append(std::to_string(data_end)).append(",");
    json.append(std::to_string(*end)).append("]}");
    data_end = *end;
  }
  json += "}";
  json.append((8 - json.size() % 8) % 8, ' ');
  if (json.size() > kMaxWrittenHeader) {
    throw Error(ErrorKind::invalid_argument, shard.file_name, "the header must not be longer than 100000000 bytes",
                std::to_string(json.size()), "Use smaller shards.");
  }
  shard.header.clear();
  for (int byte = 0; byte < 8; ++byte) shard.header.push_back(static_cast<char>(json.size() >> (8 * byte) & 0xff));
  shard.header += json;
  const auto file_bytes = checked_add<std::uint64_t>(shard.header.size(), data_end);
  if (!file_bytes || *file_bytes > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    throw Error(ErrorKind::invalid_argument, shard.file_name, "the size of a shard must fit in 63 bits");
  }
  for (ShardLayout::Entry& entry : shard.entries) entry.begin += shard.header.size();
  shard.file_bytes = *file_bytes;
}

void name_files(std::vector<ShardLayout>& shards) {
  if (shards.size() == 1) {
    shards[0].file_name = "model.safetensors";
    return;
  }
  for (std::size_t i = 0; i < shards.size(); ++i) {
    char name[64];
    std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", i + 1, shards.size());
    shards[i].file_name = name;
  }
}

}  // namespace

std::vector<ShardLayout> lay_out_shards(std::span<const TensorSpec> specs, const WriterOptions& options) {
  if (options.max_shard_bytes == 0) {
    throw Error(ErrorKind::invalid_argument, "max_shard_bytes", "must be at least 1", "0");
  }
  std::vector<ShardLayout> shards(1);
  std::uint64_t used = 0;
  for (const std::size_t i : sorted_by_name(specs)) {
    const std::uint64_t bytes = byte_count(specs[i]);
    const auto with_this = checked_add(used, bytes);
    if (!shards.back().entries.empty() && (!with_this || *with_this > options.max_shard_bytes)) {
      shards.emplace_back();
      used = 0;
    }
    shards.back().entries.push_back({.spec = i, .byte_count = bytes});
    used += bytes;
  }
  name_files(shards);
  for (ShardLayout& shard : shards) complete(shard, specs);
  return shards;
}

std::string index_text(std::span<const TensorSpec> specs, std::span<const ShardLayout> shards) {
  if (shards.size() <= 1) return {};
  std::uint64_t total = 0;
  std::map<std::string, std::string> weight_map;
  for (const ShardLayout& shard : shards) {
    for (const ShardLayout::Entry& entry : shard.entries) {
      total += entry.byte_count;
      weight_map.emplace(specs[entry.spec].name, shard.file_name);
    }
  }
  const nlohmann::json index = {{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}};
  return index.dump(2) + "\n";
}

ShardPlan plan_shards(std::span<const TensorSpec> specs, const WriterOptions& options) {
  const std::vector<ShardLayout> layouts = lay_out_shards(specs, options);
  ShardPlan plan;
  for (const ShardLayout& layout : layouts) {
    ShardPlan::Shard shard{.file_name = layout.file_name, .file_bytes = layout.file_bytes, .tensors = {}};
    for (const ShardLayout::Entry& entry : layout.entries) {
      shard.tensors.push_back(entry.spec);
      plan.tensor_bytes += entry.byte_count;
    }
    plan.total_file_bytes += layout.file_bytes;
    plan.shards.push_back(std::move(shard));
  }
  plan.total_file_bytes += index_text(specs, layouts).size();
  return plan;
}

}  // namespace qcqa
