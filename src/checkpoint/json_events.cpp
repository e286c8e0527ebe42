#include "checkpoint/json_events.hpp"

#include <nlohmann/json.hpp>

#include "checkpoint/json_file.hpp"
#include "qcqa/support/error.hpp"
#include "support/advice.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

using nlohmann::json;

class Adapter final : public nlohmann::json_sax<json> {
 public:
  Adapter(std::string where, JsonEvents& events) : where_(std::move(where)), events_(events) {}

  bool null() override { return pass({.kind = JsonScalar::Kind::null}); }
  bool boolean(bool value) override { return pass({.kind = JsonScalar::Kind::boolean, .natural = value ? 1u : 0u}); }
  bool number_integer(number_integer_t value) override {
    if (value >= 0) return number_unsigned(static_cast<number_unsigned_t>(value));  // "-0"
    return pass({.kind = JsonScalar::Kind::negative});
  }
  bool number_unsigned(number_unsigned_t value) override {
    return pass({.kind = JsonScalar::Kind::natural, .natural = value});
  }
  bool number_float(number_float_t, const string_t& text) override {
    return pass({.kind = JsonScalar::Kind::fraction, .text = text});
  }
  bool string(string_t& value) override { return pass({.kind = JsonScalar::Kind::text, .text = value}); }
  bool binary(binary_t&) override { return false; }  // does not occur in text
  bool start_object(std::size_t) override { return events_.open(true), true; }
  bool start_array(std::size_t) override { return events_.open(false), true; }
  bool key(string_t& name) override { return events_.key(name), true; }
  bool end_object() override { return events_.close(), true; }
  bool end_array() override { return events_.close(), true; }
  bool parse_error(std::size_t position, const std::string&, const json::exception& error) override {
    throw Error(ErrorKind::corrupt, where_, "must be valid UTF-8 JSON",
                json_reason(error) + " (byte " + std::to_string(position) + ")", kFetchAgain);
  }

 private:
  bool pass(const JsonScalar& value) { return events_.scalar(value), true; }

  std::string where_;
  JsonEvents& events_;
};

}  // namespace

std::string JsonScalar::shown() const {
  switch (kind) {
    case Kind::null:
      return "null";
    case Kind::boolean:
      return natural != 0 ? "true" : "false";
    case Kind::natural:
      return std::to_string(natural);
    case Kind::negative:
      return "a negative number";
    case Kind::fraction:
      return std::string(text);
    case Kind::text:
      break;
  }
  return in_quotes(text.substr(0, 80));
}

void parse_json(std::string_view text, const std::string& where, JsonEvents& events) {
  if (text.starts_with("\xef\xbb\xbf")) {
    throw Error(ErrorKind::corrupt, where, "must be valid UTF-8 JSON", "a byte order mark", "Save it without one.");
  }
  Adapter adapter(where, events);
  json::sax_parse(text.begin(), text.end(), &adapter);
}

}  // namespace qcqa
