#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "checkpoint/file_handle.hpp"
#include "qcqa/checkpoint/checkpoint.hpp"

namespace qcqa {

/// Where the bytes of each declared tensor go: what writers of every format share. See TensorSink for the members.
class TensorPlaces {
 public:
  /// `file` must outlive this object.
  void add(const std::string& name, Dtype dtype, const FileHandle& file, std::uint64_t begin, std::uint64_t size);
  void write(std::string_view name, std::span<const std::byte> bytes, std::uint64_t offset);
  void copy(std::string_view name, const TensorView& source);
  void require_complete() const;

 private:
  struct Place {
    const FileHandle* file = nullptr;
    std::uint64_t begin = 0;
    std::uint64_t size = 0;
    std::uint64_t written = 0;  ///< touched only by the thread that writes this tensor
    Dtype dtype{};
  };

  [[nodiscard]] Place& place_of(std::string_view name);

  std::map<std::string, Place, std::less<>> places_;
};

}  // namespace qcqa
