#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "qcqa/checkpoint/dtype.hpp"

namespace qcqa {

struct TensorView;

/// How values come about that no file holds as they are seen: dequantised, transposed, in another order.
class DerivedValues {
 public:
  virtual ~DerivedValues() = default;

  /// The elements from `first` on, row-major, in the view's type, as many as `out` holds. May be called from any
  /// thread.
  virtual void make(std::uint64_t first, std::span<std::byte> out) const = 0;
};

/// Some consecutive elements of a tensor in row-major order: a head's rows, a bias, everything. Reading it makes
/// derived values piece by piece, so that no tensor is ever held dequantised. The tensor must outlive it.
class TensorSlice {
 public:
  TensorSlice() = default;
  TensorSlice(const TensorView& tensor, std::uint64_t first, std::uint64_t count);

  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  /// Of one that is not empty.
  [[nodiscard]] const TensorView& tensor() const noexcept { return *tensor_; }
  /// Elements.
  [[nodiscard]] std::size_t size() const noexcept { return static_cast<std::size_t>(count_); }
  [[nodiscard]] Dtype dtype() const noexcept;
  [[nodiscard]] TensorSlice part(std::uint64_t first, std::uint64_t count) const;

  /// The values, exactly (float64 rounds to float32).
  /// @throws Error(invalid_argument) unless is_attention_dtype(dtype()); Error(corrupt) that names the first that is
  /// not
  ///         finite
  void read(std::span<double> out) const;
  void read(std::span<float> out) const;

  /// Packed elements of type dtype(): where they lie in the file, or made in `buffer`.
  [[nodiscard]] std::span<const std::byte> bytes(std::vector<std::byte>& buffer) const;

  /// About the bytes of the file that this comes from: for Checkpoint::will_read and done_with, nothing else.
  [[nodiscard]] std::span<const std::byte> pages() const noexcept;

 private:
  const TensorView* tensor_ = nullptr;
  std::uint64_t first_ = 0, count_ = 0;
};

/// One tensor of an open checkpoint. `stored` points into a memory map that lives as long as the Checkpoint.
struct TensorView {
  std::string name;
  Dtype dtype{};  ///< of the values
  std::vector<std::int64_t> shape;
  /// What the file holds: row-major, little-endian, not necessarily aligned. These are the values, unless `derived`.
  std::span<const std::byte> stored;
  std::filesystem::path file;     ///< the shard it lies in
  std::uint64_t file_offset = 0;  ///< where in that file `stored` starts
  std::shared_ptr<const DerivedValues> derived{};
  /// The type to write the values in where no other is asked for; of dequantised ones, whose `dtype` is wider than what
  /// they are worth. Nothing: `dtype`.
  std::optional<Dtype> narrow{};
  /// The type of what `stored` holds, where a copy of the checkpoint keeps that, whatever type is asked for: quantised
  /// weights, whose values are derived, and their scales.
  std::optional<Dtype> stored_as{};

  [[nodiscard]] std::int64_t element_count() const noexcept;
  [[nodiscard]] Dtype written_dtype() const noexcept { return narrow.value_or(dtype); }
  [[nodiscard]] TensorSlice all() const { return {*this, 0, static_cast<std::uint64_t>(element_count())}; }
  /// Rows of a matrix, or elements of a vector.
  [[nodiscard]] TensorSlice rows(std::int64_t first, std::int64_t count) const;
};

}  // namespace qcqa
