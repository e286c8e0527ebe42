#include "checkpoint/pickle.hpp"

#include <cstdio>
#include <unordered_map>

#include "checkpoint/byte_reader.hpp"
#include "qcqa/support/error.hpp"

// Opcodes as documented in Python's pickletools module.

namespace qcqa {
namespace {

using Kind = PickleObject::Kind;
using Ref = std::uint32_t;

enum Opcode : std::uint8_t {
  kMark = '(',
  kStop = '.',
  kNone = 'N',
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kLong1 = 0x8a,
  kBinFloat = 'G',
  kBinUnicode = 'X',
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kShortBinString = 'U',
  kBinString = 'T',
  kEmptyTuple = ')',
  kTuple = 't',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kEmptyList = ']',
  kAppend = 'a',
  kAppends = 'e',
  kEmptyDict = '}',
  kSetItem = 's',
  kSetItems = 'u',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kMemoize = 0x94,
  kBinGet = 'h',
  kLongBinGet = 'j',
  kGlobal = 'c',
  kStackGlobal = 0x93,
  kReduce = 'R',
  kBuild = 'b',
  kBinPersId = 'Q',
  kProto = 0x80,
  kFrame = 0x95,
};

class Machine {
 public:
  Machine(std::span<const std::byte> bytes, const std::string& where, PickleHooks& hooks)
      : in_(bytes, where), length_(bytes.size()), where_(where), hooks_(hooks) {}

  Pickle run() {
    for (;;) {
      const auto opcode = in_.number<std::uint8_t>();
      if (opcode == kStop) break;
      if (!plain_value(opcode) && !container(opcode) && !memory(opcode)) action(opcode);
    }
    const Ref root = pop();
    return {.objects = std::move(objects_), .root = root, .length = length_ - in_.remaining()};
  }

 private:
  [[noreturn]] void refuse(std::string_view rule, std::string_view found) const {
    throw Error(ErrorKind::corrupt, where_, rule, found, "The file is damaged: download it again.");
  }

  void push(PickleObject object) {
    objects_.push_back(std::move(object));
    stack_.push_back(static_cast<Ref>(objects_.size() - 1));
  }

  /// What lies below the last mark is out of reach, as in Python.
  Ref pop() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) refuse("a pickle must be balanced", "an empty stack");
    const Ref top = stack_.back();
    stack_.pop_back();
    return top;
  }

  PickleObject& top(Kind kind, std::string_view rule) {
    const Ref ref = pop();
    stack_.push_back(ref);
    if (objects_[ref].kind != kind) refuse(rule, "another object");
    return objects_[ref];
  }

  std::vector<Ref> pop_to_mark() {
    if (marks_.empty()) refuse("a pickle must be balanced", "no mark");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<Ref> items(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return items;
  }

  std::vector<Ref> pop_items(std::size_t count) {
    std::vector<Ref> items(count);
    while (count > 0) items[--count] = pop();
    return items;
  }

  void push_integer(std::int64_t value) { push({.kind = Kind::integer, .integer = value}); }
  void push_text(std::uint64_t length) { push({.kind = Kind::text, .text = in_.take_text(length)}); }

  void push_long() {
    const auto bytes = in_.take(in_.number<std::uint8_t>());
    if (bytes.size() > 8) {
      return push({.kind = Kind::large, .text = {reinterpret_cast<const char*>(bytes.data()), bytes.size()}});
    }
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) value |= static_cast<std::uint64_t>(bytes[i]) << (8 * i);
    if (!bytes.empty() && bytes.size() < 8 && (bytes.back() & std::byte{0x80}) != std::byte{0}) {
      value |= ~std::uint64_t{0} << (8 * bytes.size());
    }
    push_integer(static_cast<std::int64_t>(value));
  }

  bool plain_value(std::uint8_t opcode) {
    switch (opcode) {
      case kNone:
        push({.kind = Kind::none});
        return true;
      case kNewTrue:
        push({.kind = Kind::boolean, .integer = 1});
        return true;
      case kNewFalse:
        push({.kind = Kind::boolean, .integer = 0});
        return true;
      case kBinInt:
        push_integer(in_.number<std::int32_t>());
        return true;
      case kBinInt1:
        push_integer(in_.number<std::uint8_t>());
        return true;
      case kBinInt2:
        push_integer(in_.number<std::uint16_t>());
        return true;
      case kLong1:
        push_long();
        return true;
      case kBinFloat:
        in_.take(8);
        push({.kind = Kind::real});
        return true;  // nobody asks for its value
      case kBinUnicode:
        push_text(in_.number<std::uint32_t>());
        return true;
      case kBinUnicode8:
        push_text(in_.number<std::uint64_t>());
        return true;
      case kShortBinUnicode:
      case kShortBinString:
        push_text(in_.number<std::uint8_t>());
        return true;
      case kBinString:
        push_text(in_.number<std::uint32_t>());
        return true;
      default:
        return false;
    }
  }

  void append(PickleObject& to, const std::vector<Ref>& items) {
    if (to.kind == Kind::dict && items.size() % 2 != 0) refuse("a dict needs a value for every key", "an odd number");
    to.items.insert(to.items.end(), items.begin(), items.end());
  }

  bool container(std::uint8_t opcode) {
    constexpr std::string_view kListRule = "only lists take elements", kDictRule = "only dicts take keys";
    switch (opcode) {
      case kMark:
        marks_.push_back(stack_.size());
        return true;
      case kEmptyTuple:
        push({.kind = Kind::tuple});
        return true;
      case kTuple:
        push({.kind = Kind::tuple, .items = pop_to_mark()});
        return true;
      case kTuple1:
      case kTuple2:
      case kTuple3:
        push({.kind = Kind::tuple, .items = pop_items(opcode - kTuple1 + 1u)});
        return true;
      case kEmptyList:
        push({.kind = Kind::list});
        return true;
      case kEmptyDict:
        push({.kind = Kind::dict});
        return true;
      case kAppend:
        return add(pop_items(1), Kind::list, kListRule);
      case kAppends:
        return add(pop_to_mark(), Kind::list, kListRule);
      case kSetItem:
        return add(pop_items(2), Kind::dict, kDictRule);
      case kSetItems:
        return add(pop_to_mark(), Kind::dict, kDictRule);
      default:
        return false;
    }
  }

  bool add(const std::vector<Ref>& items, Kind kind, std::string_view rule) {
    append(top(kind, rule), items);
    return true;
  }

  void remember(std::uint32_t key) {
    const Ref ref = pop();
    stack_.push_back(ref);
    memo_[key] = ref;
  }

  void recall(std::uint32_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) refuse("a pickle must store what it recalls", "entry " + std::to_string(key));
    stack_.push_back(found->second);
  }

  bool memory(std::uint8_t opcode) {
    switch (opcode) {
      case kBinPut:
        remember(in_.number<std::uint8_t>());
        return true;
      case kLongBinPut:
        remember(in_.number<std::uint32_t>());
        return true;
      case kMemoize:
        remember(static_cast<std::uint32_t>(memo_.size()));
        return true;
      case kBinGet:
        recall(in_.number<std::uint8_t>());
        return true;
      case kLongBinGet:
        recall(in_.number<std::uint32_t>());
        return true;
      default:
        return false;
    }
  }

  void push_global(std::string_view module, std::string_view name) {
    hooks_.check_global(module, name);
    push({.kind = Kind::global, .text = module, .name = name});
  }

  void action(std::uint8_t opcode) {
    switch (opcode) {
      case kProto:
        return check_protocol(in_.number<std::uint8_t>());
      case kFrame:
        in_.take(8);
        return;  // a hint for buffered reading
      case kGlobal: {
        const std::string_view module = in_.take_line();
        return push_global(module, in_.take_line());
      }
      case kStackGlobal: {
        const PickleObject& name = objects_[pop()];
        const PickleObject& module = objects_[pop()];
        if (name.kind != Kind::text || module.kind != Kind::text) refuse("a global needs two names", "something else");
        return push_global(module.text, name.text);
      }
      case kReduce: {
        const PickleObject& arguments = objects_[pop()];
        const PickleObject& global = objects_[pop()];
        if (global.kind != Kind::global || arguments.kind != Kind::tuple) {
          refuse("a call needs a function and a tuple", "something else");
        }
        return push(hooks_.call(objects_, global, arguments));
      }
      case kBinPersId:
        return push(hooks_.persistent(objects_, objects_[pop()]));
      case kBuild:
        // Attributes of a dict (`_metadata` of a state dict): no tensors there.
        pop();
        (void)top(Kind::dict, "only dicts may carry attributes");
        return;
      default:
        break;
    }
    char shown[8];
    std::snprintf(shown, sizeof shown, "0x%02x", opcode);
    throw Error(ErrorKind::unsupported, where_, "this reader builds tensors only, it never runs code",
                std::string("pickle opcode ") + shown, "Save the checkpoint as safetensors.");
  }

  void check_protocol(std::uint8_t version) const {
    if (version >= 2 && version <= 5) return;
    throw Error(ErrorKind::unsupported, where_, "pickle protocols 2 to 5 can be read",
                std::to_string(unsigned{version}), "Save the checkpoint as safetensors.");
  }

  ByteReader in_;
  std::size_t length_;
  const std::string& where_;
  PickleHooks& hooks_;
  PickleObjects objects_;
  std::vector<Ref> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint32_t, Ref> memo_;
};

}  // namespace

Pickle read_pickle(std::span<const std::byte> bytes, const std::string& where, PickleHooks& hooks) {
  return Machine(bytes, where, hooks).run();
}

}  // namespace qcqa
