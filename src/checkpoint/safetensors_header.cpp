#include "checkpoint/safetensors_header.hpp"

#include <limits>
#include <unordered_set>

#include "checkpoint/json_events.hpp"
#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"
#include "support/nearest.hpp"

namespace qcqa {
namespace {

constexpr std::string_view kMetadata = "__metadata__";

std::string dtype_hint(std::string_view wrong) {
  std::vector<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(Dtype::u64); ++i) names.push_back(dtype_name(static_cast<Dtype>(i)));
  return did_you_mean(wrong, names);
}

/// Follows the document by depth: 1 = inside the root, 2 = inside a tensor, 3 = inside shape or
/// data_offsets.
class HeaderEvents final : public JsonEvents {
 public:
  explicit HeaderEvents(std::string where) : where_(std::move(where)) {}

  [[nodiscard]] std::vector<SafetensorsEntry> take() { return std::move(entries_); }

  void open(bool is_object) override {
    if (depth_ == 0 && !is_object) refuse("the header must be a JSON object", "an array");
    if (depth_ == 1) start_entry(is_object);
    if (depth_ == 2) start_field(is_object);
    if (depth_ == 3 && in_number_list()) refuse_number(is_object ? "an object" : "an array");
    ++depth_;
  }

  void close() override {
    --depth_;
    if (depth_ == 1 && !in_metadata_) finish_entry();
  }

  void key(const std::string& name) override {
    if (depth_ == 1) name_entry(name);
    if (depth_ == 2) name_field(name);
  }

  void scalar(const JsonScalar& value) override {
    if (depth_ == 0) refuse("the header must be a JSON object", value.shown());
    if (depth_ == 1) {
      if (in_metadata_ && value.kind == JsonScalar::Kind::null) return;  // as the reference implementation
      refuse(in_metadata_ ? "__metadata__ must be an object of strings" : "a tensor must be described by an object",
             value.shown());
    }
    if (depth_ == 2) set_field(value);
    if (depth_ == 3 && in_number_list()) add_number(value);
  }

 private:
  enum class Field { other, dtype, shape, data_offsets };

  [[nodiscard]] bool in_number_list() const { return field_ == Field::shape || field_ == Field::data_offsets; }

  [[noreturn]] void refuse(std::string_view rule, std::string_view found, std::string_view fix = {}) const {
    const std::string where = in_metadata_ || name_.empty() ? where_ : where_ + ": tensor " + in_quotes(name_);
    throw Error(ErrorKind::corrupt, where, rule, found, fix);
  }

  void name_entry(const std::string& name) {
    name_ = name;
    in_metadata_ = name == kMetadata;
    if (in_metadata_ ? seen_metadata_ : !names_.insert(name).second) {
      refuse("every name must occur once", in_metadata_ ? "two __metadata__ objects" : "a second tensor of this name",
             "Write the file again; readers disagree on which one counts.");
    }
    seen_metadata_ = seen_metadata_ || in_metadata_;
  }

  void start_entry(bool is_object) {
    if (!is_object) {
      refuse(in_metadata_ ? "__metadata__ must be an object of strings" : "a tensor must be described by an object",
             "an array");
    }
    if (in_metadata_) return;
    entries_.push_back({.name = name_, .shape = {}});
    seen_dtype_ = seen_shape_ = seen_offsets_ = false;
    offsets_ = 0;
  }

  void name_field(const std::string& name) {
    field_ = Field::other;
    if (in_metadata_) return;
    if (name == "dtype") mark(Field::dtype, seen_dtype_, name);
    if (name == "shape") mark(Field::shape, seen_shape_, name);
    if (name == "data_offsets") mark(Field::data_offsets, seen_offsets_, name);
  }

  void mark(Field field, bool& seen, const std::string& name) {
    if (seen) refuse("every field must occur once", "a second " + in_quotes(name));
    seen = true;
    field_ = field;
  }

  void start_field(bool is_object) {
    if (in_metadata_) refuse("__metadata__ must be an object of strings", is_object ? "an object" : "an array");
    if (field_ == Field::dtype) refuse("dtype must be a string", is_object ? "an object" : "an array");
    if (in_number_list() && is_object) refuse_list("an object");
  }

  void set_field(const JsonScalar& value) {
    if (in_metadata_) {
      if (value.kind != JsonScalar::Kind::text) {
        refuse("__metadata__ must be an object of strings", value.shown());
      }
      return;
    }
    if (in_number_list()) refuse_list(value.shown());
    if (field_ != Field::dtype) return;
    if (value.kind != JsonScalar::Kind::text) refuse("dtype must be a string", value.shown());
    const auto dtype = dtype_from_name(value.text);
    if (!dtype) refuse("dtype must be one that safetensors defines", value.shown(), dtype_hint(value.text));
    entries_.back().dtype = *dtype;
  }

  void add_number(const JsonScalar& value) {
    if (value.kind != JsonScalar::Kind::natural) refuse_number(value.shown());
    SafetensorsEntry& entry = entries_.back();
    if (field_ == Field::shape) {
      if (value.natural > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        refuse_number(value.shown());
      }
      entry.shape.push_back(static_cast<std::int64_t>(value.natural));
      return;
    }
    if (offsets_ == 2) refuse_list("more than two");
    (offsets_ == 0 ? entry.begin : entry.end) = value.natural;
    ++offsets_;
  }

  [[noreturn]] void refuse_number(std::string_view found) const {
    refuse(field_ == Field::shape ? "shape must hold integers from 0 to 2^63-1"
                                  : "data_offsets must hold integers from 0 to 2^64-1",
           found);
  }

  [[noreturn]] void refuse_list(std::string_view found) const {
    refuse(field_ == Field::shape ? "shape must be an array" : "data_offsets must be an array of two integers", found);
  }

  void finish_entry() const {
    const char* missing = !seen_dtype_ ? "dtype" : !seen_shape_ ? "shape" : !seen_offsets_ ? "data_offsets" : nullptr;
    if (missing != nullptr) {
      refuse("a tensor needs dtype, shape and data_offsets", "no " + std::string(missing));
    }
    if (offsets_ != 2) {
      refuse("data_offsets must be an array of two integers", std::to_string(offsets_));
    }
  }

  std::string where_;
  std::vector<SafetensorsEntry> entries_;
  std::unordered_set<std::string> names_;
  std::uint64_t depth_ = 0;
  std::string name_;
  Field field_ = Field::other;
  bool in_metadata_ = false, seen_metadata_ = false;
  bool seen_dtype_ = false, seen_shape_ = false, seen_offsets_ = false;
  int offsets_ = 0;
};

}  // namespace

std::vector<SafetensorsEntry> parse_safetensors_header(std::string_view json, const std::string& where) {
  HeaderEvents events(where);
  parse_json(json, where, events);
  return events.take();
}

}  // namespace qcqa
