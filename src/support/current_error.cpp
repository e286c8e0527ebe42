#include "qcqa/support/current_error.hpp"

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <string_view>
#include <system_error>

#include "support/error_of_errno.hpp"

namespace qcqa {
namespace {

constexpr const char* kTorch = "LibTorch";
constexpr const char* kUseCpu = "Use --device cpu.";

/// The first line, without the place and condition in LibTorch's source that some begin with and the full stop.
std::string first_line(std::string_view text) {
  text = text.substr(0, text.find('\n'));
  if (text.starts_with("[enforce fail at")) {
    const std::size_t end = text.find(". ", std::min(text.size(), text.find("] ")));
    if (end != std::string_view::npos) text.remove_prefix(end + 2);
  }
  while (text.ends_with('.') || text.ends_with(' ')) text.remove_suffix(1);
  return std::string(text);
}

bool contains_any(std::string_view text, const auto& parts) {
  return std::ranges::any_of(parts, [&](std::string_view part) { return text.find(part) != std::string_view::npos; });
}

/// LibTorch has few types of errors, so their text has to tell. What is left is a mistake of the caller, which is us.
Error of_torch(const c10::Error& error) {
  static constexpr std::array<std::string_view, 3> kMemory = {"out of memory", "can't allocate memory",
                                                              "not enough memory"};
  static constexpr std::array<std::string_view, 6> kDevice = {"CUDA error",  "CUBLAS_STATUS", "CUSOLVER_STATUS",
                                                              "cuDNN error", "HIP error",     "cuSOLVER error"};
  const std::string text = first_line(error.what_without_backtrace());
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr || contains_any(text, kMemory)) {
    const bool on_host = text.find("DefaultCPUAllocator") != std::string_view::npos;
    return {ErrorKind::io, kTorch, "the device must have memory for the computation", text, on_host ? "" : kUseCpu};
  }
  if (contains_any(text, kDevice)) {
    return {ErrorKind::io, kTorch, "the device must be able to do the computation", text, kUseCpu};
  }
  if (dynamic_cast<const c10::NotImplementedError*>(&error) != nullptr) {
    return {ErrorKind::unsupported, kTorch, "must have the operation for the device", text, kUseCpu};
  }
  if (dynamic_cast<const c10::LinAlgError*>(&error) != nullptr) {
    return {ErrorKind::unsupported, kTorch, "the decompositions of the model's weights must converge", text};
  }
  return {ErrorKind::internal, kTorch, "could not do the computation", text};
}

Error of_file_system(const std::filesystem::filesystem_error& error) {
  const int code = error.code().value();
  if (code == EACCES) return unreadable(error.path1());
  return error_of_errno(error.path1(), "cannot be examined", code);
}

}  // namespace

Error current_error() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const c10::Error& error) {
    return of_torch(error);
  } catch (const std::filesystem::filesystem_error& error) {
    return of_file_system(error);
  } catch (const std::system_error& error) {
    return {ErrorKind::io, "operating system", "could not do what was asked for", error.what()};
  } catch (const std::bad_alloc&) {
    return {ErrorKind::io, {}, "out of memory"};
  } catch (const std::exception& error) {
    return {ErrorKind::internal, "unexpected", first_line(error.what())};
  } catch (...) {
    return {ErrorKind::internal, "unexpected", "an exception of no known type"};
  }
}

}  // namespace qcqa
