#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qcqa {

/// The file of a model folder that its weights are read from: the weights themselves, or an index of their shards.
struct WeightFile {
  std::filesystem::path path;
  bool is_index = false;
  std::vector<std::string> notes;  ///< what else was there and does not count, a sentence each
};

/// The key of config.json that may name the file.
inline constexpr const char* kWeightFileKey = "transformers_weights";

/// Chooses as transformers does: the file that config.json names, else the first of the names
/// in accepted_weight_names() that is a file.
/// @throws Error with what the folder holds instead (see refuse_folder)
[[nodiscard]] WeightFile choose_weight_file(const std::filesystem::path& folder);

/// The names that are looked for, in this order.
[[nodiscard]] std::span<const std::string_view> weight_names() noexcept;

/// The same in one line, for messages.
[[nodiscard]] std::string accepted_weight_names();

/// Whether a file of this name is an index of shards.
[[nodiscard]] bool is_index_name(std::string_view name) noexcept;

}  // namespace qcqa
