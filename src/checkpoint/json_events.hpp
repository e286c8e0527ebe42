#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace qcqa {

/// One JSON value that is neither object nor array.
struct JsonScalar {
  enum class Kind { null, boolean, natural, negative, fraction, text } kind{};
  std::uint64_t natural = 0;  ///< for Kind::natural
  std::string_view text{};    ///< for Kind::text; valid during the call

  /// The value as an error message shows it.
  [[nodiscard]] std::string shown() const;
};

/// Receives a JSON document piece by piece. Unlike a document tree this sees duplicate keys, needs
/// no memory for what it ignores, and a deeply nested document costs no stack. Handlers may throw.
class JsonEvents {
 public:
  virtual ~JsonEvents() = default;
  virtual void open(bool is_object) = 0;
  virtual void close() = 0;
  virtual void key(const std::string& name) = 0;
  virtual void scalar(const JsonScalar& value) = 0;
};

/// Strict JSON in strict UTF-8. @throws Error(corrupt) with the byte position
void parse_json(std::string_view text, const std::string& where, JsonEvents& events);

}  // namespace qcqa
