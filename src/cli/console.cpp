#include "cli/console.hpp"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <utility>

namespace qcqa::cli {
namespace {

std::atomic<bool> stop_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set in a signal handler");

extern "C" void request_stop(int signal_number) {
  stop_requested = true;
  // Whoever presses Ctrl-C twice means it.
  std::signal(signal_number, SIG_DFL);
}

std::string duration(double seconds) {
  char text[32];
  if (seconds < 60) {
    std::snprintf(text, sizeof text, "%.0f s", seconds);
  } else {
    std::snprintf(text, sizeof text, "%.0f min %02d s", seconds / 60 - 0.5, static_cast<int>(seconds) % 60);
  }
  return text;
}

}  // namespace

void install_interrupt_handler() {
  std::signal(SIGINT, request_stop);
  std::signal(SIGTERM, request_stop);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of the write like any other
}

bool interrupted() noexcept { return stop_requested; }

Console::Console(Level level)
    : level_(level), terminal_(isatty(STDERR_FILENO) != 0), start_(std::chrono::steady_clock::now()) {}

void Console::note(std::string_view text) {
  if (level_ == Level::quiet) return;
  clear_line();
  std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
}

void Console::remark(const std::string& text) {
  if (remarks_.insert(text).second) note("qcqa: note: " + text);
}

void Console::detail(std::string_view text) {
  if (level_ == Level::verbose) note(text);
}

ProgressFn Console::progress() {
  return [this](const ProgressEvent& event) {
    if (level_ != Level::quiet && terminal_) show(event);
    return !interrupted();
  };
}

Session Console::session(std::filesystem::path state, Resume resume) {
  return {.progress = progress(),
          .note = [this](const std::string& text) { note(text); },
          .remark = [this](const std::string& text) { remark(text); },
          .state = std::move(state),
          .resume = resume};
}

double Console::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void Console::show(const ProgressEvent& event) {
  using namespace std::chrono_literals;
  const auto now = std::chrono::steady_clock::now();
  if (phase_ != event.phase) {
    phase_ = event.phase;
    phase_start_ = now;
    last_shown_ = {};
  }
  if (event.done >= event.total) {
    clear_line();
    return;
  }
  if (now - last_shown_ < 100ms) return;
  last_shown_ = now;
  const double elapsed = std::chrono::duration<double>(now - phase_start_).count();
  const double share = event.total > 0 ? static_cast<double>(event.done) / static_cast<double>(event.total) : 0;
  std::string line = "\r\033[K" + phase_ + " " + std::to_string(static_cast<int>(100 * share)) + " %";
  if (elapsed > 0.2 && share > 0) {
    char rate[32];
    std::snprintf(rate, sizeof rate, ", %.3g/s", static_cast<double>(event.done) / elapsed);
    line += rate;
    line += ", " + duration(elapsed / share - elapsed) + " left";
  }
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
  line_shown_ = true;
}

void Console::clear_line() {
  if (!line_shown_) return;
  std::fputs("\r\033[K", stderr);
  line_shown_ = false;
}

}  // namespace qcqa::cli
