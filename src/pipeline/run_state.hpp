#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include <nlohmann/json.hpp>

#include "checkpoint/json_view.hpp"
#include "qcqa/pipeline/session.hpp"

namespace qcqa {

/// The finished steps of a run, in a folder that is there from the first of them on until remove(). Each is whole or
/// not there, so a run may be killed at any point. One process at a time: the folder is locked.
class RunState {
 public:
  /// @param identity  everything that the steps follow from, by the name of the option
  /// @throws Error(invalid_argument) when steps are there and `resume` refuses them, or they belong to another
  /// identity,
  ///         naming what differs; Error(io) when another process holds them; Error(corrupt)
  RunState(std::filesystem::path folder, nlohmann::json identity, Resume resume);
  RunState(const RunState&) = delete;
  RunState& operator=(const RunState&) = delete;

  /// Whether steps of an interrupted run were there at the beginning.
  [[nodiscard]] bool is_resumed() const noexcept { return resumed_; }
  /// Whether there is anything to go on with.
  [[nodiscard]] bool holds_steps() const noexcept { return lock_.file >= 0; }
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }

  /// What a finished step came to, or nothing. @throws Error(corrupt)
  [[nodiscard]] std::optional<nlohmann::json> find(std::string_view step) const;
  /// The same as something to be checked while it is read. @param kept  what find() gave
  [[nodiscard]] JsonView view(std::string_view step, const nlohmann::json& kept) const;
  void keep(std::string_view step, const nlohmann::json& result);
  void forget(std::string_view step);

  /// Where a step keeps files of its own.
  [[nodiscard]] std::filesystem::path path(std::string_view name);

  /// All is done: nothing is to be kept any more.
  void remove() noexcept;

 private:
  struct Lock {
    int file = -1;  ///< the descriptor that holds it; -1: there is no folder yet

    Lock() = default;
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    ~Lock() { release(); }
    void release() noexcept;
  };

  void make();
  void lock();
  void require_same(const nlohmann::json& there) const;
  [[nodiscard]] std::filesystem::path file_of(std::string_view step) const;

  std::filesystem::path folder_;
  nlohmann::json identity_;
  bool resumed_ = false;
  Lock lock_;
};

}  // namespace qcqa
