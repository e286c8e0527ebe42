#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/pickle.hpp"
#include "qcqa/checkpoint/dtype.hpp"

namespace qcqa {

/// A storage that a pickle refers to, read as elements of one type; or, in old files, a part of one.
struct TorchStorage {
  std::string_view key;
  Dtype dtype{};
  std::uint64_t elements = 0;          ///< of the whole storage
  std::uint64_t first = 0, count = 0;  ///< the part
};

/// A tensor as pickled: a strided window of a storage. Nothing is checked against the storage yet.
struct TorchTensor {
  TorchStorage storage;
  std::uint64_t offset = 0;  ///< in elements
  std::vector<std::int64_t> shape, strides;
};

/// The few names a state dict consists of; everything else is refused before anything happens.
class TorchObjects final : public PickleHooks {
 public:
  explicit TorchObjects(std::string where) : where_(std::move(where)) {}

  void check_global(std::string_view module, std::string_view name) override;
  PickleObject call(const PickleObjects& objects, const PickleObject& global, const PickleObject& arguments) override;
  PickleObject persistent(const PickleObjects& objects, const PickleObject& id) override;

  /// The tensor an object stands for, or nullptr.
  [[nodiscard]] const TorchTensor* tensor(const PickleObject& object) const;

  /// Every storage that the pickle named, as often as it did.
  [[nodiscard]] std::span<const TorchStorage> storages() const noexcept { return storages_; }

 private:
  [[noreturn]] void refuse(std::string_view rule, std::string_view found) const;
  PickleObject add_tensor(const PickleObjects& objects, const std::vector<std::uint32_t>& arguments);
  PickleObject unwrap_tensor(const PickleObjects& objects, const std::vector<std::uint32_t>& arguments);
  void take_part(const PickleObjects& objects, const PickleObject& part, TorchStorage& storage) const;
  [[nodiscard]] TorchTensor rebuild_tensor(const PickleObjects& objects,
                                           const std::vector<std::uint32_t>& arguments) const;
  [[nodiscard]] std::vector<std::int64_t> extents(const PickleObjects& objects, const PickleObject& list) const;

  std::string where_;
  std::vector<TorchStorage> storages_;
  std::vector<TorchTensor> tensors_;
};

}  // namespace qcqa
