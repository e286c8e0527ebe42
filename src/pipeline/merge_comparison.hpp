#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "pipeline/run_state.hpp"
#include "qcqa/forward/forward_options.hpp"
#include "qcqa/merge/merge.hpp"
#include "qcqa/pipeline/session.hpp"
#include "qcqa/text/token_sequences.hpp"

namespace qcqa {

/// What merges and plans are compared on, at most but for the rest of a window.
inline constexpr std::size_t kComparedTokens = 8192;
[[nodiscard]] std::vector<TokenSequence> compared_windows(std::span<const TokenSequence> windows);

/// The original's on them; kept, for compare_merges() too.
[[nodiscard]] double original_perplexity(const Model& model, std::span<const TokenSequence> windows,
                                         const ForwardOptions& forward, const Session& session, RunState& state);

/// Perplexities of the original and of the plan's heads merged in ever better ways, up to what was chosen: shows what
/// the choice was worth. Each is kept.
/// @param merged_by  the plan's heads merged by a kind; asked for those that are not known yet
/// @param windows    what to judge on; only the first few thousand tokens are used
[[nodiscard]] MergeLadder compare_merges(const Model& model, MergeKind chosen,
                                         const std::function<Model(MergeKind)>& merged_by,
                                         std::span<const TokenSequence> windows, const ForwardOptions& forward,
                                         const Session& session, RunState& state);

/// Bytes that simpler merges of the plan keep beside the chosen one while they are compared.
[[nodiscard]] std::uint64_t comparison_disk_bytes(const Model& model, const MergeOptions& options);

/// For the model card. Empty when the ladder is.
[[nodiscard]] std::string measured_text(const MergeLadder& ladder, MergeKind kind);

}  // namespace qcqa
