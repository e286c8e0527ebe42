#pragma once

#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace qcqa {

/// A document is described once, by a function `fields(visitor, thing)` per struct, which tells a visitor the name, the
/// place and the rule of every field in the order of the document. FieldWriter makes JSON of a thing, FieldReader a
/// thing of JSON, FieldSchema the JSON Schema of both. A visitor has
///
///   field(name, value, [rule,] [about])      text, a number or a truth; `about` is for the schema
///   choice(name, value, names)               one of a few values, each with a name
///   constant(name, value)                    always the same
///   labels(name, grouping)                   a grouping of one layer's KV heads; labels_per_layer() of all
///   object(name, body)                       body(visitor) describes an object one level down
///   list(name, kind, vector [, body])        `kind` names an element; body(visitor, element) if it is not fields();
///                                            list_per_layer() has as many elements as the model layers
///   optional(name, std::optional), optional_list(...), optional_number(name, std::optional, rule [, about])
///                                            may be absent, then there is none
///   added(name, number, rule), added_object(name, body)   absent in documents of earlier versions
///   derived(name, value [, rule] [, about])  what follows from other fields: read by check() alone
///   json(name, value), seconds(name, map)    anything; numbers by name
///   check(rules)                             rules(view of this object): what to refuse when the object was read
///   index(), model()                         the place in its list; the limits: the report's model
///
/// Things are const where they are written, so `fields` is a template over both.
template <typename T, typename Described>
concept Describes = std::is_same_v<std::remove_const_t<T>, Described>;

struct Integers {
  std::int64_t least = 0;
  std::int64_t most = std::numeric_limits<std::int64_t>::max();
};
struct Numbers {
  double least = 0;
  double most = std::numeric_limits<double>::infinity();
};
inline constexpr Numbers kAnyNumber{.least = -std::numeric_limits<double>::infinity()};

/// Layers, heads and other counts that an int holds with room to spare.
inline constexpr std::int64_t kMostCount = 1 << 24;
inline constexpr Integers kCount{1, kMostCount};

template <typename T>
using Names = std::vector<std::pair<std::string_view, T>>;

}  // namespace qcqa
