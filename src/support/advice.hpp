#pragma once

namespace qcqa {

// What several errors advise.

/// Of files of weights.
inline constexpr const char* kDownloadAgain = "The file is damaged or incomplete: download it again.";
/// Of files beside them.
inline constexpr const char* kFetchAgain = "Download the file again.";
/// Of what a run has kept of its finished steps.
inline constexpr const char* kStartOver = "Start over with --force.";

}  // namespace qcqa
