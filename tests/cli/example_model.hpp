#pragma once

#include <string>

namespace qcqa::testing {

inline const std::string kExampleModel = QCQA_EXAMPLE_MODEL;
inline const std::string kExampleText = kExampleModel + "/sample.jsonl";

}  // namespace qcqa::testing
