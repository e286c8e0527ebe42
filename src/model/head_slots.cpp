#include "qcqa/model/model.hpp"

namespace qcqa {

std::vector<HeadSlot> head_slots(const Projection& projection, int query_heads, int kv_heads) {
  const auto heads_of = [&](HeadRole role) {
    return role == HeadRole::query || role == HeadRole::gate ? query_heads : kv_heads;
  };
  std::vector<HeadSlot> slots;
  if (projection.order == HeadOrder::by_query) {
    for (int head = 0; head < query_heads; ++head) {
      for (const HeadRole role : projection.holds) slots.push_back({role, head});
    }
    return slots;
  }
  if (projection.order != HeadOrder::by_head) {
    for (int part = 0; part < projection.parts; ++part) {
      for (const HeadRole role : projection.holds) {
        const int heads = heads_of(role) / projection.parts;
        for (int head = 0; head < heads; ++head) slots.push_back({role, part * heads + head});
      }
    }
    return slots;
  }
  for (int kv_head = 0; kv_head < kv_heads; ++kv_head) {
    for (const HeadRole role : projection.holds) {
      const int per_kv_head = heads_of(role) / kv_heads;
      for (int i = 0; i < per_kv_head; ++i) slots.push_back({role, kv_head * per_kv_head + i});
    }
  }
  return slots;
}

}  // namespace qcqa
