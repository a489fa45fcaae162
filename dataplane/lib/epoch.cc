#include "lib/epoch.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <new>

namespace dvr {
namespace {

constexpr std::size_t kReclaimEvery = 512;

bool have_barriers() {
#if defined(__SANITIZE_THREAD__)
  return false;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
  return false;
#endif
#endif
  return syscall(__NR_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

}  // namespace

std::atomic<std::uint64_t> Epoch::now_{1};
std::atomic<Epoch::Reader*> Epoch::readers_{nullptr};
const bool Epoch::barriers_ = have_barriers();
thread_local Epoch::Reader* Epoch::mine_ = nullptr;

// Gives the record back when the thread ends.
struct Epoch::Registration {
  ~Registration() {
    Reader* const r = mine_;
    mine_ = nullptr;
    if (r != nullptr) r->taken.store(false, std::memory_order_release);
  }
};

Epoch::Reader* Epoch::register_reader() {
  thread_local const Registration registration;
  for (Reader* r = readers_.load(std::memory_order_acquire); r != nullptr; r = r->next) {
    bool taken = false;
    if (!r->taken.load(std::memory_order_relaxed) &&
        r->taken.compare_exchange_strong(taken, true, std::memory_order_acq_rel)) {
      return mine_ = r;
    }
  }
  // Records are never freed: there are as many as there were threads at once.
  auto* const r = new Reader;
  r->next = readers_.load(std::memory_order_relaxed);
  while (!readers_.compare_exchange_weak(r->next, r, std::memory_order_acq_rel)) {
  }
  return mine_ = r;
}

void Epoch::drain() {
  for (const Item& item : retired_) item.release(item.context, item.argument);
  retired_.clear();
  since_ = 0;
}

void Epoch::retire(Release release, void* context, std::uint64_t argument) noexcept {
  try {
    retired_.push_back({0, release, context, argument});
  } catch (const std::bad_alloc&) {
    return;
  }
  if (++since_ >= kReclaimEvery) reclaim();
}

std::uint64_t Epoch::oldest() {
  if (barriers_ && syscall(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) {
    return 0;  // a reader may not be seen yet: nothing is released this time
  }
  std::uint64_t oldest = std::numeric_limits<std::uint64_t>::max();
  for (Reader* r = readers_.load(std::memory_order_acquire); r != nullptr; r = r->next) {
    const std::uint64_t since = barriers_ ? r->since.load(std::memory_order_acquire)
                                          : r->since.fetch_add(0, std::memory_order_acq_rel);
    if (since != 0) oldest = std::min(oldest, since);
  }
  return oldest;
}

void Epoch::reclaim() {
  if (retired_.empty()) return;
  // Other Epochs' writers raise the number too: only a read-modify-write behind
  // the unlinking gives a stamp that no reader exceeds who can still meet what
  // was unlinked.
  const std::uint64_t stamp = now_.fetch_add(1, std::memory_order_acq_rel);
  for (; since_ > 0; --since_) retired_[retired_.size() - since_].stamp = stamp;
  const std::uint64_t until = oldest();
  while (retired_.size() > since_ && retired_.front().stamp < until) {
    const Item item = retired_.front();
    retired_.pop_front();
    item.release(item.context, item.argument);
  }
}

}  // namespace dvr
