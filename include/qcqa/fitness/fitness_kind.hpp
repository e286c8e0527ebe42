#pragma once

#include <span>
#include <string>
#include <string_view>

namespace qcqa {

/// What a search minimises.
enum class FitnessKind { wse, aligned, subspace, measured };

/// A row of the table that names, help texts and errors come from.
struct FitnessInfo {
  FitnessKind kind{};
  std::string_view name;
  std::string_view help;
};
[[nodiscard]] std::span<const FitnessInfo> fitness_infos() noexcept;
[[nodiscard]] std::string_view fitness_name(FitnessKind kind) noexcept;

/// The unit of its costs. @param calibrated  whether they are for the inputs that occur in a text
[[nodiscard]] std::string fitness_unit(FitnessKind kind, bool calibrated);

}  // namespace qcqa
