#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "qcqa/forward/forward_options.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/support/progress.hpp"
#include "qcqa/text/token_sequences.hpp"

namespace qcqa {

/// What goes into the attention of a model's layers on a calibration text: second moments, that fitness and merges go
/// by. Without a text, that of hidden states of any direction alike. A layer is looked at when it is first asked about:
/// layers in rising order take one pass of the text through the model. Kept in a folder they are computed once.
class InputStatistics {
 public:
  /// Without a text. @param model  must outlive this
  explicit InputStatistics(const Model& model);

  /// @param calibration  must outlive this; no more of it is used than second moments need
  /// @param folder       where layers are kept, and taken from if they are there, for this model and text; empty:
  /// nowhere
  /// @param memory       bytes of hidden states in memory; more go to a file in the folder
  /// @param progress     asked while the text goes through a layer
  InputStatistics(const Model& model, std::span<const TokenSequence> calibration, const ForwardOptions& options,
                  std::filesystem::path folder = {}, std::uint64_t memory = std::uint64_t{4} << 30,
                  ProgressFn progress = {});
  InputStatistics(InputStatistics&&) noexcept;
  InputStatistics& operator=(InputStatistics&&) noexcept;
  ~InputStatistics();

  /// Whether there is a text.
  [[nodiscard]] bool calibrated() const noexcept;

  class Layers;
  [[nodiscard]] Layers& layers() noexcept { return *layers_; }

 private:
  std::unique_ptr<Layers> layers_;
};

}  // namespace qcqa
