#include "lib/flat_arena.h"

#include <algorithm>
#include <bit>
#include <new>

namespace dvr {

FlatArena::FlatArena(std::size_t limit)
    : limit_(std::max(limit / kLargest, std::size_t{1}) * kLargest),
      pages_(limit_ + sizeof(std::uint32_t), Pages::Huge::kAsk) {}

int FlatArena::order_of(std::size_t bytes) {
  const std::size_t units = (bytes + kUnit - 1) / kUnit;
  return static_cast<int>(std::bit_width(units - 1));
}

void FlatArena::put(std::uint32_t block, int order) {
  Order& o = orders_[static_cast<std::size_t>(order)];
  const std::uint32_t i = block >> order;
  if (i / 64 >= o.free.size()) o.free.resize(std::max<std::size_t>(i / 64 + 1, o.free.size() * 2));
  o.free[i / 64] |= std::uint64_t{1} << (i % 64);
  ++o.count;
  o.stack.push_back(i);
  if (o.stack.size() > 2 * o.count + 64) {
    // Most candidates are stale: begin anew with those that are not.
    o.stack.clear();
    for (std::size_t word = o.free.size(); word-- > 0;) {
      for (std::uint64_t bits = o.free[word]; bits != 0; bits &= bits - 1) {
        o.stack.push_back(static_cast<std::uint32_t>(word * 64) +
                          static_cast<std::uint32_t>(std::countr_zero(bits)));
      }
    }
  }
}

void FlatArena::take(std::uint32_t block, int order) {
  Order& o = orders_[static_cast<std::size_t>(order)];
  const std::uint32_t i = block >> order;
  o.free[i / 64] &= ~(std::uint64_t{1} << (i % 64));
  --o.count;
}

std::uint32_t FlatArena::pop(int order) {
  Order& o = orders_[static_cast<std::size_t>(order)];
  while (!o.stack.empty()) {
    const std::uint32_t i = o.stack.back();
    o.stack.pop_back();
    if (!o.test(i)) continue;
    take(i << order, order);
    return i << order;
  }
  return kNone;
}

std::uint32_t FlatArena::allocate(int order) {
  int from = order;
  std::uint32_t block = kNone;
  while (from < kOrders && (block = pop(from)) == kNone) ++from;
  if (block == kNone) {
    from = kOrders - 1;
    if (used() + kLargest > limit_) return kNone;
    block = static_cast<std::uint32_t>(used() / kUnit);
    add(&used_, kLargest / kUnit);
  }
  while (from > order) {
    --from;
    put(block + (1u << from), from);
  }
  add(&live_, kUnit << order);
  return block;
}

void FlatArena::release(std::uint32_t block, int order) noexcept {
  add(&live_, std::size_t{0} - (kUnit << order));
  while (order < kOrders - 1) {
    const std::uint32_t buddy = block ^ (1u << order);
    if (!orders_[static_cast<std::size_t>(order)].test(buddy >> order)) break;
    take(buddy, order);
    block &= ~(1u << order);
    ++order;
  }
  try {
    put(block, order);
  } catch (const std::bad_alloc&) {
    // The bit, where it was set, is enough for its neighbour to find it.
  }
}

}  // namespace dvr
