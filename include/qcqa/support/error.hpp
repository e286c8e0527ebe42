#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace qcqa {

/// What went wrong, in the classes a caller can act on.
enum class ErrorKind {
  invalid_argument,  ///< an option or argument makes no sense
  corrupt,           ///< a file breaks the rules of its format
  not_found,         ///< a file or tensor is missing
  unsupported,       ///< valid, but this program cannot do it
  io,                ///< reading or writing failed (full disk, permissions, ...)
  interrupted,       ///< the user asked to stop
  internal,          ///< a bug in qcqa
};

/// The one exception type of the library. `what()` is a single line:
/// `<where>: <rule>[; found <found>].[ <fix>]`
class Error : public std::runtime_error {
 public:
  /// @param where  path, tensor or option concerned
  /// @param rule   the rule that was broken, without a final full stop
  /// @param found  what was found instead (may be empty)
  /// @param fix    what the user can do about it, a sentence (may be empty)
  Error(ErrorKind kind, std::string_view where, std::string_view rule, std::string_view found = {},
        std::string_view fix = {});

  [[nodiscard]] ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

}  // namespace qcqa
