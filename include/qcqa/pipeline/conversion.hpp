#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "qcqa/export/export.hpp"
#include "qcqa/pipeline/session.hpp"
#include "qcqa/pipeline/settings.hpp"
#include "qcqa/report/report.hpp"

namespace qcqa {

/// What a conversion takes while it runs.
struct ConversionNeeds {
  std::uint64_t disk_bytes = 0;    ///< what is written, and what is kept until then
  std::uint64_t memory_bytes = 0;  ///< beside the mapped input
};

/// A model's way to fewer KV heads, step by step: plan() (calibrate, price, search, choose; where layers may keep
/// different numbers of heads, the better of two plans that were merged and measured), merge() (and comparing simpler
/// merges), write(), evaluate(), finish(). Each step needs those before it. What is finished is kept in the session's
/// state folder until finish(), so that a conversion which was interrupted or killed at any point goes on from there
/// and comes to the same result. Where a step throws, nothing half-written is left behind, and nothing finished is
/// lost.
///
/// All steps throw Error(interrupted) when the session's progress asks to stop, and Error(io).
class Conversion {
 public:
  /// Checks whatever can be found wrong before work begins, the output folder included.
  /// @param model  must outlive this
  /// @throws Error(invalid_argument, not_found, corrupt, unsupported)
  Conversion(const Model& model, ConversionSettings settings, Session session);
  ~Conversion();
  Conversion(const Conversion&) = delete;
  Conversion& operator=(const Conversion&) = delete;

  /// @returns the report so far; its plan is set, and what was measured to choose it. Nothing is merged with
  /// OutputSettings::dry_run: see preview().
  /// @throws Error(invalid_argument) when no plan is small enough, or the layout cannot express it;
  ///         Error(io) when the disk has no room for what comes
  const Report& plan();
  /// What write() would write. Touches no tensor byte and no disk.
  [[nodiscard]] ExportSummary preview() const;
  /// What all of it needs, roughly: a calibration may be shorter than it was allowed to be.
  [[nodiscard]] ConversionNeeds needs() const;
  const Report& merge();
  ExportSummary write();
  /// Measures the written model beside the one it was made from, and says so in the report inside the output.
  /// @returns nothing without ConversionSettings::text
  std::optional<Evaluation> evaluate();
  /// What was kept goes.
  void finish();

  [[nodiscard]] const Report& report() const noexcept;
  /// As they are after plan(): with the layout that was chosen.
  [[nodiscard]] const ExportOptions& export_options() const noexcept;
  /// Words for what an evaluation was on: context, BOS.
  [[nodiscard]] std::string evaluated_on() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// All steps of a Conversion.
/// @returns the report, as it is inside the output
Report run(const Model& model, ConversionSettings settings, Session session);

}  // namespace qcqa
