#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <utility>

#include "checkpoint/byte_reader.hpp"
#include "checkpoint/gguf.hpp"
#include "checkpoint/gguf_blocks.hpp"
#include "checkpoint/gguf_types.hpp"
#include "qcqa/support/error.hpp"
#include "support/advice.hpp"
#include "support/checked.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

constexpr std::uint32_t kMaxDimensions = 4;  // ggml's limit

class GgufReader {
 public:
  explicit GgufReader(const MappedFile& file)
      : file_(file), where_(file.path().string()), bytes_(file.bytes(), where_) {}

  void read(GgufFile& out) {
    if (bytes_.number<std::uint32_t>() != kGgufMagic) refuse("must begin with GGUF");
    require_version(bytes_.number<std::uint32_t>());
    const auto tensors = count();
    const auto values = count();
    for (std::uint64_t i = 0; i < values; ++i) {
      std::string key(string());
      if (auto held = value()) out.metadata.emplace_back(std::move(key), std::move(*held));
    }
    read_alignment(out);
    std::vector<const GgufBlockType*> types;
    for (std::uint64_t i = 0; i < tensors; ++i) out.tensors.push_back(tensor(types));
    const std::uint64_t header = file_.bytes().size() - bytes_.remaining();
    place(out.tensors, types, (header + alignment_ - 1) / alignment_ * alignment_);
  }

 private:
  [[noreturn]] void refuse(const std::string& rule, const std::string& found = {}) const {
    throw Error(ErrorKind::corrupt, where_, rule, found);
  }

  void require_version(std::uint32_t version) const {
    if (version == 2 || version == kGgufVersion) return;  // they differ in the order of bytes that they allow
    throw Error(ErrorKind::unsupported, where_, "must be of version 2 or 3, little-endian",
                version == kGgufVersion << 24 ? "a big-endian file" : std::to_string(version));
  }

  void read_alignment(const GgufFile& out) {
    const GgufValue* value = out.find("general.alignment");
    if (!value) return;
    const auto* number = std::get_if<std::uint32_t>(value);
    if (!number || *number == 0 || (*number & (*number - 1)) != 0) refuse("general.alignment must be a power of two");
    alignment_ = *number;
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

  /// Nothing for what is passed over: values that no key of a model needs and that GgufValue has no type for.
  std::optional<GgufValue> value() {
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
      case GgufType::u64:
        return narrowed<std::uint32_t>(bytes_.number<std::uint64_t>());
      case GgufType::i64:
        return narrowed<std::int32_t>(bytes_.number<std::int64_t>());
      case GgufType::f64: {
        const auto bits = bytes_.number<std::uint64_t>();
        double number;
        std::memcpy(&number, &bits, sizeof number);
        return static_cast<float>(number);
      }
      default:
        throw Error(ErrorKind::unsupported, where_, "metadata type", std::to_string(type));
    }
  }

  template <typename Narrow, typename Wide>
  static std::optional<GgufValue> narrowed(Wide number) {
    if (!std::in_range<Narrow>(number)) return std::nullopt;
    return static_cast<Narrow>(number);
  }

  /// Integers of any width as int32, or nothing when one is too large for that.
  template <typename Wide>
  std::optional<GgufValue> integers(std::uint64_t length) {
    std::vector<std::int32_t> values;
    bool fit = true;
    for (std::uint64_t i = 0; i < length; ++i) {
      const auto number = bytes_.number<Wide>();
      fit = fit && std::in_range<std::int32_t>(number);
      if (fit) values.push_back(static_cast<std::int32_t>(number));
    }
    if (!fit) return std::nullopt;
    return values;
  }

  std::optional<GgufValue> array() {
    const auto type = bytes_.number<std::uint32_t>();
    const auto length = count();
    const auto fill = [&](auto values, const auto& next) {
      for (std::uint64_t i = 0; i < length; ++i) values.push_back(next());
      return values;
    };
    switch (static_cast<GgufType>(type)) {
      case GgufType::u8:
      case GgufType::boolean:
        return integers<std::uint8_t>(length);
      case GgufType::i8:
        return integers<std::int8_t>(length);
      case GgufType::u16:
        return integers<std::uint16_t>(length);
      case GgufType::i16:
        return integers<std::int16_t>(length);
      case GgufType::u32:
        return integers<std::uint32_t>(length);
      case GgufType::i32:
        return integers<std::int32_t>(length);
      case GgufType::u64:
        return integers<std::uint64_t>(length);
      case GgufType::i64:
        return integers<std::int64_t>(length);
      case GgufType::f32:
        return fill(std::vector<float>(), [this] { return real(); });
      case GgufType::string:
        return fill(std::vector<std::string>(), [this] { return std::string(string()); });
      default:
        throw Error(ErrorKind::unsupported, where_, "arrays of metadata type", std::to_string(type));
    }
  }

  /// @param types  gets the block type, or nullptr for plain elements
  TensorView tensor(std::vector<const GgufBlockType*>& types) {
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
    types.push_back(find_gguf_block_type(code));
    if (!types.back() && row == kGgufTensorTypes.end()) {
      throw Error(ErrorKind::unsupported, where_ + ": " + in_quotes(view.name), "is of a type that qcqa does not read",
                  gguf_type_name(code), "Take a file of another quantisation (Q8_0, Q6_K, Q5_K, Q4_K, F16, BF16).");
    }
    if (types.back()) view.narrow = Dtype::f16;
    view.dtype = types.back() ? Dtype::f32 : row->dtype;
    view.file = file_.path();
    view.file_offset = bytes_.number<std::uint64_t>();  // from the begin of the data
    return view;
  }

  static std::optional<std::uint64_t> size_of(const TensorView& view, const GgufBlockType* type,
                                              const std::string& where) {
    std::optional<std::uint64_t> count = 1;
    for (const std::int64_t extent : view.shape) {
      if (count) count = checked_multiply(*count, static_cast<std::uint64_t>(extent));
    }
    if (!count) return std::nullopt;
    if (!type) return checked_multiply(*count, std::uint64_t{dtype_bytes(view.dtype)});
    if (view.shape.empty() || view.shape.back() % type->elements != 0) {
      throw Error(ErrorKind::corrupt, where,
                  "a row must fill whole blocks of " + std::to_string(type->elements) + " elements",
                  view.shape.empty() ? "a scalar" : std::to_string(view.shape.back()));
    }
    return checked_multiply<std::uint64_t>(*count / type->elements, type->bytes);
  }

  void place(std::vector<TensorView>& tensors, const std::vector<const GgufBlockType*>& types,
             std::uint64_t data) const {
    std::uint64_t next = 0;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      TensorView& view = tensors[i];
      const std::string where = where_ + ": " + in_quotes(view.name);
      const std::optional<std::uint64_t> size = size_of(view, types[i], where);
      // As llama.cpp reads it: a file that leaves gaps is a damaged one.
      if (view.file_offset != next) {
        throw Error(ErrorKind::corrupt, where, "must follow the tensor before it, at " + std::to_string(next),
                    std::to_string(view.file_offset), kDownloadAgain);
      }
      const auto begin = checked_add(data, view.file_offset);
      const auto end = begin && size ? checked_add(*begin, *size) : std::nullopt;
      if (!end || *end > file_.bytes().size()) throw Error(ErrorKind::corrupt, where, "must lie inside the file");
      next += (*size + alignment_ - 1) / alignment_ * alignment_;
      view.file_offset = *begin;
      view.stored = file_.bytes().subspan(static_cast<std::size_t>(*begin), static_cast<std::size_t>(*size));
      if (types[i]) view.derived = std::make_shared<const GgufBlockValues>(view.stored, *types[i]);
    }
  }

  const MappedFile& file_;
  std::string where_;
  ByteReader bytes_;
  std::uint64_t alignment_ = kGgufAlignment;
};

}  // namespace

const GgufValue* GgufFile::find(std::string_view key) const {
  for (const auto& [name, value] : metadata) {
    if (name == key) return &value;
  }
  return nullptr;
}

std::string main_block_type(const GgufFile& file) {
  std::map<std::string_view, std::uint64_t> bytes;
  for (const TensorView& view : file.tensors) {
    const auto* values = dynamic_cast<const GgufBlockValues*>(view.derived.get());
    if (values) bytes[values->type().name] += view.stored.size();
  }
  const auto most = std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; });
  return most == bytes.end() ? std::string() : std::string(most->first);
}

bool is_gguf(const std::filesystem::path& file) noexcept {
  std::uint32_t magic = 0;
  std::ifstream stream(file, std::ios::binary);
  return stream.read(reinterpret_cast<char*>(&magic), sizeof magic) && magic == kGgufMagic;
}

GgufFile read_gguf(const std::filesystem::path& file) {
  GgufFile out;
  out.file = std::make_shared<const MappedFile>(file);
  GgufReader(*out.file).read(out);
  return out;
}

}  // namespace qcqa
