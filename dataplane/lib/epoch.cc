#include "lib/epoch.h"

#include <algorithm>
#include <limits>
#include <thread>

namespace dvr {
namespace {

constexpr std::size_t kReclaimEvery = 512;

std::size_t first_slot() {
  static std::atomic<std::size_t> next{0};
  thread_local const std::size_t mine = next.fetch_add(1, std::memory_order_relaxed);
  return mine;
}

}  // namespace

void Epoch::drain() {
  for (const Item& item : retired_) item.release(item.context, item.argument);
  retired_.clear();
}

std::atomic<std::uint64_t>& Epoch::enter() const {
  for (std::size_t i = first_slot();; ++i) {
    std::atomic<std::uint64_t>& slot = slots_[i % kSlots].epoch;
    std::uint64_t free = 0;
    const std::uint64_t now = now_.load(std::memory_order_acquire);
    if (slot.load(std::memory_order_relaxed) == 0 &&
        slot.compare_exchange_strong(free, now, std::memory_order_acq_rel)) {
      return slot;
    }
    if (i % kSlots == kSlots - 1) std::this_thread::yield();
  }
}

void Epoch::retire(Release release, void* context, std::uint64_t argument) {
  retired_.push_back({now_.load(std::memory_order_relaxed), release, context, argument});
  if (++since_ >= kReclaimEvery) reclaim();
}

void Epoch::reclaim() {
  since_ = 0;
  if (retired_.empty()) return;
  now_.fetch_add(1, std::memory_order_acq_rel);
  std::uint64_t oldest = std::numeric_limits<std::uint64_t>::max();
  for (Slot& slot : slots_) {
    const std::uint64_t e = slot.epoch.fetch_add(0, std::memory_order_acq_rel);
    if (e != 0) oldest = std::min(oldest, e);
  }
  while (!retired_.empty() && retired_.front().stamp < oldest) {
    const Item item = retired_.front();
    retired_.pop_front();
    item.release(item.context, item.argument);
  }
}

}  // namespace dvr
