#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qcqa {

/// One object of a pickle. Objects refer to each other by index, so that neither sharing, cycles
/// nor deep nesting costs stack when they are destroyed.
struct PickleObject {
  enum class Kind { none, boolean, integer, large, real, text, tuple, list, dict, global, custom } kind{};
  std::int64_t integer = 0;  ///< value of boolean and integer; for custom whatever the hooks put there
  /// Of text; of large (an integer that 64 bits cannot hold) its bytes; of a global its module. Points into the pickle.
  std::string_view text{};
  std::string_view name{};             ///< the name of a global
  std::vector<std::uint32_t> items{};  ///< of tuple and list; key, value, key, value, ... of dict
};

using PickleObjects = std::deque<PickleObject>;  // a deque: references stay valid while it grows

/// What globals, calls and persistent ids mean is decided here, and nowhere else: the machine
/// itself creates plain data only and cannot run anything.
class PickleHooks {
 public:
  virtual ~PickleHooks() = default;
  /// @throws Error(unsupported) for every global that is not known to be harmless
  virtual void check_global(std::string_view module, std::string_view name) = 0;
  virtual PickleObject call(const PickleObjects& objects, const PickleObject& global,
                            const PickleObject& arguments) = 0;
  virtual PickleObject persistent(const PickleObjects& objects, const PickleObject& id) = 0;
};

struct Pickle {
  PickleObjects objects;
  std::uint32_t root = 0;
  std::size_t length = 0;  ///< bytes up to and with its end; others may follow
};

/// Runs a pickle of protocol 2 to 5 as far as dicts, lists, tuples, strings, numbers and what the
/// hooks make.
/// @throws Error(corrupt, unsupported)
[[nodiscard]] Pickle read_pickle(std::span<const std::byte> bytes, const std::string& where, PickleHooks& hooks);

}  // namespace qcqa
