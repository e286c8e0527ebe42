#include <cstring>
#include <set>

#include "checkpoint/gguf.hpp"
#include "checkpoint/gguf_types.hpp"
#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

class ByteWriter {
 public:
  template <typename T>
  void number(T value) {
    const auto* bytes = reinterpret_cast<const char*>(&value);
    text_.append(bytes, sizeof value);
  }
  void string(std::string_view text) {
    number<std::uint64_t>(text.size());
    text_.append(text);
  }
  void pad() { text_.append((kGgufAlignment - text_.size() % kGgufAlignment) % kGgufAlignment, '\0'); }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

struct PutValue {
  ByteWriter& out;

  void operator()(std::uint32_t value) const { scalar(GgufType::u32, value); }
  void operator()(std::int32_t value) const { scalar(GgufType::i32, value); }
  void operator()(float value) const { scalar(GgufType::f32, value); }
  void operator()(bool value) const { scalar(GgufType::boolean, static_cast<std::uint8_t>(value)); }
  void operator()(const std::string& value) const {
    type(GgufType::string);
    out.string(value);
  }
  void operator()(const std::vector<std::int32_t>& values) const {
    array(GgufType::i32, values.size());
    for (const std::int32_t value : values) out.number(value);
  }
  void operator()(const std::vector<float>& values) const {
    array(GgufType::f32, values.size());
    for (const float value : values) out.number(value);
  }
  void operator()(const std::vector<std::string>& values) const {
    array(GgufType::string, values.size());
    for (const std::string& value : values) out.string(value);
  }

 private:
  void type(GgufType type) const { out.number(static_cast<std::uint32_t>(type)); }
  template <typename T>
  void scalar(GgufType kind, T value) const {
    type(kind);
    out.number(value);
  }
  void array(GgufType element, std::size_t count) const {
    type(GgufType::array);
    type(element);
    out.number<std::uint64_t>(count);
  }
};

std::uint32_t tensor_type(const TensorSpec& spec) {
  for (const GgufTensorType& row : kGgufTensorTypes) {
    if (row.dtype == spec.dtype) return row.code;
  }
  throw Error(ErrorKind::unsupported, "tensor " + in_quotes(spec.name), "GGUF takes F32, F16 and BF16 here",
              std::string(dtype_name(spec.dtype)), "Use --dtype.");
}

void require_once(std::set<std::string_view>& seen, std::string_view name) {
  if (!seen.insert(name).second) {
    throw Error(ErrorKind::invalid_argument, in_quotes(name), "a name must be used once in a GGUF file");
  }
}

}  // namespace

GgufLayout lay_out_gguf(const GgufMetadata& metadata, std::span<const TensorSpec> specs) {
  GgufLayout layout;
  ByteWriter out;
  out.number(kGgufMagic);
  out.number(kGgufVersion);
  out.number<std::uint64_t>(specs.size());
  out.number<std::uint64_t>(metadata.size());
  std::set<std::string_view> names;
  for (const auto& [key, value] : metadata) {
    require_once(names, key);
    out.string(key);
    std::visit(PutValue{out}, value);
  }
  names.clear();
  std::uint64_t at = 0;
  for (const TensorSpec& spec : specs) {
    require_once(names, spec.name);
    out.string(spec.name);
    out.number(static_cast<std::uint32_t>(spec.shape.size()));
    std::uint64_t bytes = dtype_bytes(spec.dtype);
    for (std::size_t i = spec.shape.size(); i-- > 0;) {  // the fastest dimension first
      out.number(spec.shape[i]);
      bytes *= static_cast<std::uint64_t>(spec.shape[i]);
    }
    out.number(tensor_type(spec));
    out.number(at);
    layout.begin.push_back(at);
    layout.size.push_back(bytes);
    at += (bytes + kGgufAlignment - 1) / kGgufAlignment * kGgufAlignment;
  }
  out.pad();
  layout.header = out.take();
  for (std::uint64_t& begin : layout.begin) begin += layout.header.size();
  layout.file_bytes = layout.header.size() + at;
  return layout;
}

GgufWriter::GgufWriter(const std::filesystem::path& file, const GgufMetadata& metadata,
                       std::span<const TensorSpec> specs)
    : file_(FileHandle::create(file)) {
  const GgufLayout layout = lay_out_gguf(metadata, specs);
  file_.reserve(layout.file_bytes);
  file_.write_at(std::as_bytes(std::span(layout.header)), 0);
  for (std::size_t i = 0; i < specs.size(); ++i) {
    places_.add(specs[i].name, specs[i].dtype, file_, layout.begin[i], layout.size[i]);
  }
}

void GgufWriter::write(std::string_view name, std::span<const std::byte> bytes, std::uint64_t offset) {
  places_.write(name, bytes, offset);
}

void GgufWriter::copy(std::string_view name, const TensorView& source) { places_.copy(name, source); }

void GgufWriter::finish() {
  places_.require_complete();
  file_.flush();
}

}  // namespace qcqa
