#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace qcqa {

/// A value inside an untrusted JSON document together with where it stands ("FILE: decoder.decoders[1]"): every access
/// is checked, and every complaint names the place. Does not own the value.
class JsonView {
 public:
  /// The root of a document. Both texts are copied into every part that is looked at, so `fix`, which all complaints
  /// suggest, is a literal.
  JsonView(const nlohmann::json& document, std::string file, const char* fix)
      : value_(&document), file_(std::move(file)), fix_(fix) {}

  [[nodiscard]] const nlohmann::json& value() const noexcept { return *value_; }
  /// "FILE" for the root, "FILE: PLACE" inside.
  [[nodiscard]] std::string where() const;

  /// Nothing when the member is absent or null. @throws Error(corrupt) when this is not an object
  [[nodiscard]] std::optional<JsonView> find(std::string_view key) const;
  [[nodiscard]] bool has(std::string_view key) const { return find(key).has_value(); }
  /// @throws Error(corrupt) when the member is absent or null
  [[nodiscard]] JsonView at(std::string_view key) const;
  /// The members of this object, in the order of the document's type. @throws Error(corrupt) when it is none
  [[nodiscard]] std::vector<std::pair<std::string, JsonView>> members() const;
  /// The elements of this array. @throws Error(corrupt) when it is none
  [[nodiscard]] std::vector<JsonView> items() const;
  /// The same with exactly `size` elements, each standing for `what` ("layer").
  [[nodiscard]] std::vector<JsonView> items(std::size_t size, std::string_view what) const;
  /// A part of this whose own place would not help anybody: one of 100,000 tokens.
  [[nodiscard]] JsonView part(const nlohmann::json& value) const;

  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool flag() const;
  /// @throws Error(corrupt) unless an integer in [least, most]
  [[nodiscard]] std::int64_t integer(std::int64_t least, std::int64_t most) const;
  /// @throws Error(corrupt) unless a finite number in [least, most]
  [[nodiscard]] double number(double least, double most = std::numeric_limits<double>::infinity()) const;

  [[nodiscard]] std::string type() const { return at("type").text(); }
  [[nodiscard]] bool flag_or(std::string_view key, bool otherwise) const;
  [[nodiscard]] std::string text_or(std::string_view key, std::string_view otherwise) const;

  [[noreturn]] void corrupt(std::string_view rule, std::string_view found = {}) const;

 private:
  [[nodiscard]] JsonView child(const nlohmann::json& value, std::string place) const;

  const nlohmann::json* value_;
  std::string file_, place_;
  const char* fix_;
};

}  // namespace qcqa
