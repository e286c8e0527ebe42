#include "pipeline/run_state.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include "checkpoint/json_file.hpp"
#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/support/error.hpp"
#include "support/advice.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIdentityFile = "run.json";
constexpr const char* kLockFile = "lock";
constexpr int kFormat = 1;

std::string shown(const nlohmann::json& value) {
  static constexpr std::size_t kLongest = 60;
  std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text.empty() ? "none" : text;
}

}  // namespace

RunState::RunState(fs::path folder, nlohmann::json identity, Resume resume)
    : folder_(std::move(folder)), identity_(std::move(identity)) {
  std::error_code error;
  if (!fs::exists(folder_ / kIdentityFile, error)) {
    // Killed between making it and saying whose it is; whatever else stands there is not ours to touch.
    fs::remove(folder_ / kLockFile, error);
    if (fs::exists(folder_, error) && !(fs::is_directory(folder_, error) && fs::remove(folder_, error))) {
      throw Error(ErrorKind::invalid_argument, folder_.string(), "is where finished steps are kept", "something else",
                  "Move it, or choose another output.");
    }
    return;
  }
  lock();
  remove_abandoned(folder_);
  if (resume == Resume::start_over) {
    remove();
    return;
  }
  if (resume == Resume::refuse) {
    throw Error(ErrorKind::invalid_argument, folder_.string(), "holds what an interrupted run has finished", {},
                "Go on with the same command and --resume, or start over with --force.");
  }
  require_same(read_json_file<nlohmann::json>(folder_ / kIdentityFile, kStartOver));
  resumed_ = true;
}

void RunState::Lock::release() noexcept {
  if (file >= 0) ::close(std::exchange(file, -1));
}

void RunState::require_same(const nlohmann::json& there) const {
  const auto format = there.find("format");
  const auto settings = there.find("settings");
  if (format == there.end() || *format != kFormat || settings == there.end() || !settings->is_object()) {
    throw Error(ErrorKind::corrupt, (folder_ / kIdentityFile).string(),
                "must be what this version of qcqa keeps of a run", {}, kStartOver);
  }
  std::string differences;
  const auto compare = [&](const std::string& key) {
    static const nlohmann::json kNothing;
    const auto before = settings->find(key);
    const auto now = identity_.find(key);
    const nlohmann::json& old_value = before == settings->end() ? kNothing : *before;
    const nlohmann::json& new_value = now == identity_.end() ? kNothing : *now;
    if (old_value == new_value) return;
    differences +=
        (differences.empty() ? "" : "; ") + key + " " + shown(old_value) + " then, " + shown(new_value) + " now";
  };
  for (const auto& [key, value] : settings->items()) compare(key);
  for (const auto& [key, value] : identity_.items()) {
    if (!settings->contains(key)) compare(key);
  }
  if (differences.empty()) return;
  throw Error(ErrorKind::invalid_argument, folder_.string(),
              "--resume goes on with a run of the same model and options", differences,
              "Give the same options, or start over with --force.");
}

void RunState::lock() {
  const fs::path file = folder_ / kLockFile;
  lock_.file = ::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666);
  if (lock_.file < 0) throw Error(ErrorKind::io, file.string(), "cannot be made", std::strerror(errno));
  if (::flock(lock_.file, LOCK_EX | LOCK_NB) == 0) return;
  const int reason = errno;
  lock_.release();
  if (reason == EWOULDBLOCK) {
    throw Error(ErrorKind::io, folder_.string(), "another qcqa is at work on this output", {},
                "Wait until it has ended.");
  }
  throw Error(ErrorKind::io, file.string(), "cannot be locked", std::strerror(reason));
}

void RunState::make() {
  if (holds_steps()) return;
  std::error_code error;
  fs::create_directory(folder_, error);
  if (error) throw Error(ErrorKind::io, folder_.string(), "cannot be made", error.message());
  lock();
  remove_abandoned(folder_);
  write_file_atomically(folder_ / kIdentityFile,
                        nlohmann::json{{"format", kFormat}, {"settings", identity_}}.dump(1) + "\n");
}

fs::path RunState::file_of(std::string_view step) const { return folder_ / (std::string(step) + ".json"); }

std::optional<nlohmann::json> RunState::find(std::string_view step) const {
  if (!holds_steps() || !fs::exists(file_of(step))) return std::nullopt;
  return read_json_file<nlohmann::json>(file_of(step), kStartOver);
}

JsonView RunState::view(std::string_view step, const nlohmann::json& kept) const {
  return {kept, file_of(step).string(), kStartOver};
}

void RunState::keep(std::string_view step, const nlohmann::json& result) {
  make();
  write_file_atomically(file_of(step), result.dump());
}

void RunState::forget(std::string_view step) {
  std::error_code ignored;
  if (holds_steps()) fs::remove(file_of(step), ignored);
}

fs::path RunState::path(std::string_view name) {
  make();
  return folder_ / name;
}

void RunState::remove() noexcept {
  if (!holds_steps()) return;
  remove_at_once(folder_);
  lock_.release();
}

}  // namespace qcqa
