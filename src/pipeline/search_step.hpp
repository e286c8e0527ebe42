#pragma once

#include <optional>

#include "pipeline/layer_costs.hpp"
#include "pipeline/run_state.hpp"
#include "qcqa/report/report.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {

/// Looks at what can be wrong with a search before costs are computed. @throws Error(invalid_argument)
/// @param kv  the fraction of the KV cache that is wanted, if it is known
void require_search(const Model& model, const SearchOptions& options, std::optional<double> kv = std::nullopt);

/// The search over a model's costs. Its result is kept, or where it stands when it is interrupted.
/// @param kv  the fraction of the KV cache about which layers are measured, where they are
/// @throws Error(interrupted)
[[nodiscard]] Report search_model(const Model& model, const LayerCosts& costs, const SearchOptions& options, double kv,
                                  const Device& device, const Session& session, RunState* state);

/// Keeps what a search came to, and what became of it since. @param state  nullptr: nothing is kept
void keep_search(const Report& report, RunState* state);

/// The report of a search that an interrupted run has finished, or nothing.
[[nodiscard]] std::optional<Report> kept_search(const RunState& state);

/// Says so where there is nothing to go on with.
void say_if_nothing_is_there(const RunState& state, const Session& session);

/// Restricts a search to the plans that `target` can run.
void restrict_to(const Model& model, Target target, SearchOptions& options);

/// Calls `work`; an interruption that comes out of it says what was kept and how to go on.
template <typename Work>
decltype(auto) resumable(const RunState& state, const Work& work) {
  try {
    return work();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::interrupted) throw;
    if (!state.holds_steps()) throw Error(ErrorKind::interrupted, "", "interrupted; nothing was written");
    throw Error(ErrorKind::interrupted, state.folder().string(), "interrupted; what was finished is kept here", {},
                "Go on with the same command and --resume.");
  }
}

/// resumable() for steps that come before anything is written: of a failure that comes from what was given, and would
/// come again, nothing is kept.
template <typename Work>
decltype(auto) preparing(RunState& state, const Work& work) {
  try {
    return resumable(state, work);
  } catch (const Error& error) {
    const ErrorKind kind = error.kind();
    const bool would_come_again = kind == ErrorKind::invalid_argument || kind == ErrorKind::unsupported ||
                                  kind == ErrorKind::corrupt || kind == ErrorKind::not_found;
    // In a resumed run it may be what was kept that is damaged.
    if (would_come_again && !state.is_resumed()) state.remove();
    throw;
  }
}

}  // namespace qcqa
