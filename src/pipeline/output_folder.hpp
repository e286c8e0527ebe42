#pragma once

#include <filesystem>

#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/model/model.hpp"

namespace qcqa {

/// Throws unless a model's output could be written here: nothing of the model or of anybody else's would be lost.
void require_output(const Model& model, const std::filesystem::path& folder, Overwrite overwrite);

}  // namespace qcqa
