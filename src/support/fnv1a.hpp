#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>

namespace qcqa {

/// FNV-1a, 64 bit (Fowler, Noll, Vo). Tells inputs apart; no defence against someone who wants a collision.
class Fnv1a {
 public:
  void add(std::span<const std::byte> bytes) noexcept {
    for (const std::byte byte : bytes) {
      hash_ = (hash_ ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3ULL;
    }
  }
  void add(std::string_view text) noexcept { add(std::as_bytes(std::span(text))); }
  void add(std::int64_t number) noexcept { add(std::as_bytes(std::span(&number, 1))); }

  /// 16 hexadecimal digits.
  [[nodiscard]] std::string text() const {
    std::string digits(17, '\0');
    std::snprintf(digits.data(), digits.size(), "%016llx", static_cast<unsigned long long>(hash_));
    digits.pop_back();
    return digits;
  }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325ULL;
};

}  // namespace qcqa
