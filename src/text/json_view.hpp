#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace qcqa {

/// A value inside a JSON document together with where it stands ("FILE: decoder.decoders[1]"), so that every complaint
/// about it names the place. Does not own the value.
class JsonView {
 public:
  JsonView(const nlohmann::json& value, std::string where) : value_(&value), where_(std::move(where)) {}

  [[nodiscard]] const nlohmann::json& value() const noexcept { return *value_; }
  [[nodiscard]] const std::string& where() const noexcept { return where_; }

  /// Nothing when the member is absent or null. @throws Error(corrupt) when this is not an object
  [[nodiscard]] std::optional<JsonView> find(std::string_view key) const;
  /// @throws Error(corrupt) when the member is absent or null
  [[nodiscard]] JsonView at(std::string_view key) const;
  /// The elements of this array. @throws Error(corrupt) when it is none
  [[nodiscard]] std::vector<JsonView> items() const;

  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool flag() const;
  /// @throws Error(corrupt) unless an integer in [least, most]
  [[nodiscard]] std::int64_t integer(std::int64_t least, std::int64_t most) const;

  [[nodiscard]] std::string type() const { return at("type").text(); }
  [[nodiscard]] bool flag_or(std::string_view key, bool otherwise) const;
  [[nodiscard]] std::string text_or(std::string_view key, std::string_view otherwise) const;

  [[noreturn]] void corrupt(std::string_view rule, std::string_view found = {}) const;
  /// `what` is the thing that qcqa does not implement, e.g. `normalizer "Precompiled"`.
  [[noreturn]] void unsupported(std::string_view what) const;

 private:
  const nlohmann::json* value_;
  std::string where_;
};

/// The fix that every refusal of a tokenizer suggests.
inline constexpr std::string_view kUseTokenIds =
    "For `qcqa evaluate`, tokenize with another tool and pass the ids with --token-ids FILE.";

}  // namespace qcqa
