#include <algorithm>
#include <compare>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "checkpoint/json_file.hpp"
#include "model/class_tensors.hpp"
#include "model/completeness.hpp"
#include "model/tensor_names.hpp"
#include "model/unknown_type.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;

/// Those that read more of config.json come first; a mixture of experts may have none.
struct Fit {
  std::size_t differing = 0;  ///< tensors
  std::size_t unread = 0;
  bool may_have_experts = false, is_not_llama = false;  // most models with a type of their own are like Llama
  std::string family;

  auto operator<=>(const Fit&) const = default;
};

Fit fit_of(const ModelConfig& config, std::size_t differing) {
  const Architecture& architecture = config.architecture();
  return {.differing = differing,
          .unread = config.keys_of_other_families().size(),
          .may_have_experts = architecture.forward->experts.has_value(),
          .is_not_llama = architecture.family != "llama",
          .family = architecture.family};
}

/// How the tensors of a folder differ from a family's.
struct Difference {
  std::size_t alike = 0;
  std::vector<std::string> more{}, missing{}, of_other_shapes{};

  [[nodiscard]] std::size_t size() const { return more.size() + missing.size() + of_other_shapes.size(); }

  [[nodiscard]] std::string text() const {
    std::string text;
    for (const auto& [names, what] :
         {std::pair(&more, "more"), {&missing, "missing"}, {&of_other_shapes, "of another shape"}}) {
      if (names->empty()) continue;
      text += (text.empty() ? (names->size() == 1 ? "1 tensor " : std::to_string(names->size()) + " tensors ")
                            : ", " + std::to_string(names->size()) + " ") +
              what + " (" + some_of(*names) + ")";
    }
    return text;
  }
};

Difference difference_of(const Checkpoint& stored, const ModelConfig& config) {
  require_plausible_counts(stored, config);
  const std::vector<ClassTensor> tensors = class_tensors(config);
  std::vector<std::string> notes;
  const ClassNames names = with_class_names(stored, config, tensors, notes);
  Difference difference{.more = tensors_beside(names.checkpoint, names.left_out, tensors)};
  for (const ClassTensor& tensor : tensors) {
    if (tensor.use == ClassTensor::Use::left_out) continue;
    const TensorView* view = names.checkpoint.find(tensor.name);
    if (!view) {
      if (tensor.use == ClassTensor::Use::needed) difference.missing.push_back(tensor.name);
    } else if (!tensor.shape.empty() && view->shape != tensor.shape) {
      difference.of_other_shapes.push_back(tensor.name);
    } else {
      ++difference.alike;
    }
  }
  return difference;
}

/// A family and how the folder's tensors differ from its own.
std::optional<std::pair<std::string, std::string>> nearest_family(const fs::path& folder, const Families& families) {
  const Checkpoint stored = Checkpoint::open(folder);
  std::optional<std::pair<Fit, std::string>> nearest;
  for (const Architecture& architecture : families.architectures()) {
    if (!architecture.forward) continue;
    try {
      const Families as = families.with_unknown_as(architecture.family);
      const ModelConfig config = ModelConfig::read(folder, as);
      const Difference difference = difference_of(stored, config);
      if (2 * difference.size() > difference.alike) continue;  // what has experts agrees in many tensors anyway
      Fit fit = fit_of(config, difference.size());
      if (!nearest || fit < nearest->first) nearest = {std::move(fit), difference.text()};
    } catch (const Error&) {
      continue;  // it is not near
    }
  }
  if (!nearest) return std::nullopt;
  return std::pair(nearest->first.family, nearest->second);
}

}  // namespace

Model::FittingFamilies Model::families_that_fit(const fs::path& folder, const Families& families) {
  std::vector<Fit> fits;
  FittingFamilies fitting;
  for (const Architecture& architecture : families.architectures()) {
    if (!architecture.forward) continue;
    try {
      const Families as = families.with_unknown_as(architecture.family);
      if (!ModelConfig::read(folder, as).is_taken_for_family()) return {};
      const Model model = open(folder, as);
      fitting.model_type = model.settings().json().value("model_type", "");
      fits.push_back(fit_of(model.settings(), 0));
    } catch (const Error&) {
      continue;  // it does not fit
    }
  }
  std::ranges::sort(fits);
  for (Fit& fit : fits) fitting.families.push_back(std::move(fit.family));
  if (!fitting.families.empty()) return fitting;
  try {
    const fs::path file = folder / "config.json";
    const auto config = read_json_file<nlohmann::ordered_json>(file);
    refuse_unknown_kind(config, file, families);
    if (auto nearest = nearest_family(folder, families)) {
      fitting.model_type = config.value("model_type", "");
      std::tie(fitting.nearest, fitting.difference) = std::move(*nearest);
    }
  } catch (const Error&) {
    return {};  // there is a better reason, or nothing to compare
  }
  return fitting;
}

}  // namespace qcqa
