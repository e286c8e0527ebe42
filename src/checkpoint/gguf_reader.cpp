#include <algorithm>
#include <cstring>

#include "checkpoint/byte_reader.hpp"
#include "checkpoint/gguf.hpp"
#include "checkpoint/gguf_types.hpp"
#include "qcqa/support/error.hpp"
#include "support/checked.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

constexpr std::uint32_t kMaxDimensions = 4;  // ggml's limit

class Reader {
 public:
  explicit Reader(const MappedFile& file) : file_(file), where_(file.path().string()), bytes_(file.bytes(), where_) {}

  void read(GgufFile& out) {
    if (bytes_.number<std::uint32_t>() != kGgufMagic) refuse("must begin with GGUF");
    if (const auto version = bytes_.number<std::uint32_t>(); version != kGgufVersion) {
      throw Error(ErrorKind::unsupported, where_, "must be of version 3", std::to_string(version));
    }
    const auto tensors = count();
    const auto values = count();
    for (std::uint64_t i = 0; i < values; ++i) {
      std::string key(string());
      out.metadata.emplace_back(std::move(key), value());
    }
    for (std::uint64_t i = 0; i < tensors; ++i) out.tensors.push_back(tensor());
    const std::uint64_t header = file_.bytes().size() - bytes_.remaining();
    place(out.tensors, (header + kGgufAlignment - 1) / kGgufAlignment * kGgufAlignment);
  }

 private:
  [[noreturn]] void refuse(const std::string& rule, const std::string& found = {}) const {
    throw Error(ErrorKind::corrupt, where_, rule, found);
  }

  /// Every counted thing takes a byte at least, so a larger count is a lie that must not cost memory.
  std::uint64_t count() {
    const auto number = bytes_.number<std::uint64_t>();
    if (number > bytes_.remaining()) refuse("a count must fit in the file", std::to_string(number));
    return number;
  }

  std::string_view string() { return bytes_.take_text(count()); }

  float real() {
    const auto bits = bytes_.number<std::uint32_t>();
    float number;
    std::memcpy(&number, &bits, sizeof number);
    return number;
  }

  GgufValue value() {
    switch (const auto type = bytes_.number<std::uint32_t>(); static_cast<GgufType>(type)) {
      case GgufType::u8:
        return std::uint32_t{bytes_.number<std::uint8_t>()};
      case GgufType::u16:
        return std::uint32_t{bytes_.number<std::uint16_t>()};
      case GgufType::u32:
        return bytes_.number<std::uint32_t>();
      case GgufType::i8:
        return std::int32_t{bytes_.number<std::int8_t>()};
      case GgufType::i16:
        return std::int32_t{bytes_.number<std::int16_t>()};
      case GgufType::i32:
        return bytes_.number<std::int32_t>();
      case GgufType::f32:
        return real();
      case GgufType::boolean:
        return bytes_.number<std::uint8_t>() != 0;
      case GgufType::string:
        return std::string(string());
      case GgufType::array:
        return array();
      default:
        throw Error(ErrorKind::unsupported, where_, "metadata type", std::to_string(type));
    }
  }

  GgufValue array() {
    const auto type = bytes_.number<std::uint32_t>();
    const auto length = count();
    const auto fill = [&](auto values, const auto& next) {
      for (std::uint64_t i = 0; i < length; ++i) values.push_back(next());
      return values;
    };
    switch (static_cast<GgufType>(type)) {
      case GgufType::i32:
        return fill(std::vector<std::int32_t>(), [this] { return bytes_.number<std::int32_t>(); });
      case GgufType::f32:
        return fill(std::vector<float>(), [this] { return real(); });
      case GgufType::string:
        return fill(std::vector<std::string>(), [this] { return std::string(string()); });
      default:
        throw Error(ErrorKind::unsupported, where_, "arrays of metadata type", std::to_string(type));
    }
  }

  TensorView tensor() {
    TensorView view;
    view.name = std::string(string());
    const auto dimensions = bytes_.number<std::uint32_t>();
    if (dimensions > kMaxDimensions) refuse("a tensor has at most 4 dimensions", std::to_string(dimensions));
    for (std::uint32_t i = 0; i < dimensions; ++i) {
      const auto extent = bytes_.number<std::int64_t>();
      if (extent < 0) refuse("a shape must not be negative", std::to_string(extent));
      view.shape.insert(view.shape.begin(), extent);
    }
    const auto code = bytes_.number<std::uint32_t>();
    const auto row = std::ranges::find(kGgufTensorTypes, code, &GgufTensorType::code);
    if (row == kGgufTensorTypes.end()) {
      throw Error(ErrorKind::unsupported, where_ + ": " + view.name, "is of a type that qcqa does not read",
                  std::to_string(code));
    }
    view.dtype = row->dtype;
    view.file = file_.path();
    view.file_offset = bytes_.number<std::uint64_t>();  // from the begin of the data
    return view;
  }

  void place(std::vector<TensorView>& tensors, std::uint64_t data) const {
    std::uint64_t free_from = 0;
    for (TensorView& view : tensors) {
      const std::string where = where_ + ": " + in_quotes(view.name);
      std::optional<std::uint64_t> size = static_cast<std::uint64_t>(dtype_bits(view.dtype)) / 8;
      for (const std::int64_t extent : view.shape) {
        if (size) size = checked_multiply(*size, static_cast<std::uint64_t>(extent));
      }
      if (view.file_offset % kGgufAlignment != 0)
        throw Error(ErrorKind::corrupt, where, "must lie at a multiple of 32");
      if (view.file_offset < free_from) throw Error(ErrorKind::corrupt, where, "must not overlap the tensor before it");
      const auto begin = checked_add(data, view.file_offset);
      const auto end = begin && size ? checked_add(*begin, *size) : std::nullopt;
      if (!end || *end > file_.bytes().size()) throw Error(ErrorKind::corrupt, where, "must lie inside the file");
      free_from = view.file_offset + *size;
      view.file_offset = *begin;
      view.bytes = file_.bytes().subspan(static_cast<std::size_t>(*begin), static_cast<std::size_t>(*size));
    }
  }

  const MappedFile& file_;
  std::string where_;
  ByteReader bytes_;
};

}  // namespace

const GgufValue* GgufFile::find(std::string_view key) const {
  for (const auto& [name, value] : metadata) {
    if (name == key) return &value;
  }
  return nullptr;
}

GgufFile read_gguf(const std::filesystem::path& file) {
  GgufFile out;
  out.file = std::make_shared<const MappedFile>(file);
  Reader(*out.file).read(out);
  return out;
}

}  // namespace qcqa
