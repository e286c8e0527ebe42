#include "checkpoint/shard_index.hpp"

#include "checkpoint/inner_path.hpp"
#include "checkpoint/json_events.hpp"
#include "checkpoint/mapped_file.hpp"
#include "checkpoint/safetensors_reader.hpp"
#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

constexpr std::uint64_t kMaxIndexBytes = 256u << 20;

class IndexEvents final : public JsonEvents {
 public:
  explicit IndexEvents(std::string where) : where_(std::move(where)) {}

  [[nodiscard]] std::map<std::string, std::string> take() {
    if (!seen_map_) refuse("an index needs a weight_map", "none");
    return std::move(files_);
  }

  void open(bool is_object) override {
    if (depth_ == 0 && !is_object) refuse("an index must be a JSON object", "an array");
    if (depth_ == 1 && in_map_ && !is_object) refuse("weight_map must be an object", "an array");
    if (depth_ == 2 && in_map_) refuse("weight_map must give a file name for " + in_quotes(tensor_), "no string");
    ++depth_;
  }

  void close() override { --depth_; }

  void key(const std::string& name) override {
    if (depth_ == 1) {
      in_map_ = name == "weight_map";
      if (in_map_ && seen_map_) refuse("weight_map must occur once", "two");
      seen_map_ = seen_map_ || in_map_;
    }
    if (depth_ == 2 && in_map_) tensor_ = name;
  }

  void scalar(const JsonScalar& value) override {
    if (depth_ == 0) refuse("an index must be a JSON object", value.shown());
    if (depth_ == 1 && in_map_) refuse("weight_map must be an object", value.shown());
    if (depth_ != 2 || !in_map_) return;
    if (value.kind != JsonScalar::Kind::text) {
      refuse("weight_map must give a file name for " + in_quotes(tensor_), value.shown());
    }
    if (!files_.emplace(tensor_, inner_file(value.text)).second)
      refuse("every tensor must occur once", in_quotes(tensor_) + " twice");
  }

 private:
  [[noreturn]] void refuse(std::string_view rule, std::string_view found) const {
    throw Error(ErrorKind::corrupt, where_, rule, found);
  }

  /// An index from elsewhere must not be able to point out of its folder.
  [[nodiscard]] std::string inner_file(std::string_view name) const {
    const auto path = inner_path(name);
    if (!path) refuse("a shard must be a file in the index's folder", in_quotes(name));
    return path->string();
  }

  std::string where_;
  std::map<std::string, std::string> files_;
  std::string tensor_;
  std::uint64_t depth_ = 0;
  bool in_map_ = false, seen_map_ = false;
};

}  // namespace

std::map<std::string, std::string> read_shard_index(const std::filesystem::path& path) {
  const MappedFile file(path);
  refuse_git_lfs_pointer(file);
  if (file.bytes().size() > kMaxIndexBytes) {
    throw Error(ErrorKind::corrupt, path.string(), "an index must not be larger than 256 MiB",
                std::to_string(file.bytes().size()) + " bytes");
  }
  IndexEvents events(path.string());
  parse_json({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path.string(), events);
  return events.take();
}

}  // namespace qcqa
