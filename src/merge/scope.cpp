#include "model/experts_facts.hpp"
#include "qcqa/merge/merge.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {

ReconstructScope widest_scope(const Model& model) {
  return experts_facts(model.settings()) ? ReconstructScope::attention : ReconstructScope::block;
}

void require_scope(const Model& model, ReconstructScope scope, const std::string& option) {
  if (scope == ReconstructScope::attention || widest_scope(model) == ReconstructScope::block) return;
  throw Error(ErrorKind::unsupported, option, "mixtures of experts are not fitted, they stay as they are",
              "block of " + model.path().string(), "Use " + option + " attention.");
}

}  // namespace qcqa
