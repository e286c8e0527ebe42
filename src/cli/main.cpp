#include <fmt/format.h>
#include <omp.h>
#include <torch/version.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "cli/blas_choice.hpp"
#include "cli/commands.hpp"
#include "cli/console.hpp"
#include "cli/flags.hpp"
#include "cli/usage.hpp"
#include "qcqa/support/current_error.hpp"
#include "qcqa/support/error.hpp"
#include "qcqa/support/version.hpp"
#include "support/blas.hpp"
#include "support/gpu.hpp"

namespace qcqa::cli {
namespace {

constexpr const char* kFooter =
    "Exit codes: 0 done; 1 a limit that was asked for was missed; 2 wrong usage or input; 3 reading, writing or a "
    "device\n"
    "failed, or memory ran out; 4 a bug in qcqa; 130 interrupted.";

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::io:
      return kIo;
    case ErrorKind::interrupted:
      return kInterrupted;
    case ErrorKind::internal:
      return kBug;
    default:
      return kUsageOrInput;
  }
}

int print_error(const char* text, int code) {
  std::fprintf(stderr, "qcqa: error: %s\n", text);
  return code;
}

std::string version_text() { return fmt::format("qcqa {} ({})", version(), commit()); }

std::string libraries_text() {
  const int threads = omp_get_max_threads();  // LibTorch may change it
  return fmt::format("LibTorch  {}\nBLAS      {}\nthreads   {}{}\nGPUs      {}", TORCH_VERSION, blas_name(), threads,
                     rows_are_independent() ? "" : "; last digits of results depend on them", gpu_count());
}

/// Ends the program without tearing down LibTorch and the hundreds of libraries below it, which takes longer than most
/// commands: all that is ours has been closed.
[[noreturn]] void leave(int code) {
  (void)std::fflush(nullptr);
  std::_Exit(code);
}

int run(int argc, char** argv) {
  remember_command_line(argc, argv);
  install_interrupt_handler();
  CLI::App app(
      "Make transformer checkpoints cheaper to serve: find which key/value heads can be shared (QCQA, arXiv "
      "2406.10247)\n"
      "and write a grouped-query checkpoint.",
      "qcqa");
  bool verbose = false;
  app.add_flag("-v,--verbose", verbose, "With --version: what runs below, too");
  app.add_flag_callback(
      "--version",
      [&] { throw CLI::CallForVersion(verbose ? version_text() + "\n" + libraries_text() : version_text(), 0); },
      "Display program version information and exit");
  app.require_subcommand(1);
  app.footer(kFooter);
  Action action;
  add_run(app, action);
  add_inspect(app, action);
  add_search(app, action);
  add_convert(app, action);
  add_distill(app, action);
  add_evaluate(app, action);
  add_report(app, action);
  for (CLI::App* command : app.get_subcommands({})) command->footer(kFooter);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    return print_error(usage_error(app, error).c_str(), kUsageOrInput);
  }
  if (verbose) {
    throw Error(ErrorKind::invalid_argument, "--verbose", "goes before a command with --version only", "-v",
                "Give it after the command's name.");
  }
  const int code = action();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    throw Error(ErrorKind::io, "standard output", "cannot be written", std::strerror(errno));
  }
  return code;
}

}  // namespace
}  // namespace qcqa::cli

int main(int argc, char** argv) {
  using namespace qcqa;
  try {
    cli::choose_blas_kernel(argv);
    cli::leave(cli::run(argc, argv));
  } catch (...) {
    const Error error = current_error();
    cli::leave(cli::print_error(error.what(), cli::exit_code(error.kind())));
  }
}
