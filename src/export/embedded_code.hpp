#pragma once

#include <string_view>

namespace qcqa {

/// src/export/remote_code/modeling_qcqa.py as it was at build time, with @MODEL_CLASS@, @MODEL_TYPE@, @LAYERS@ and
/// @ATTENTION@ to be replaced.
[[nodiscard]] std::string_view embedded_modeling_code();
/// src/export/remote_code/shared_cache_qcqa.py, the same.
[[nodiscard]] std::string_view embedded_shared_cache_code();
/// src/export/remote_code/configuration_decilm.py.
[[nodiscard]] std::string_view embedded_decilm_configuration();

}  // namespace qcqa
