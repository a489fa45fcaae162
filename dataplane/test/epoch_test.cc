// Reclamation: nothing is released while a guard could see it.
#include "lib/epoch.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <thread>
#include <vector>

namespace dvr::test {
namespace {

void count_up(void* counter, std::uint64_t n) { *static_cast<std::uint64_t*>(counter) += n; }

TEST(Epoch, ReleasesWithoutReaders) {
  Epoch e;
  std::uint64_t released = 0;
  e.retire(count_up, &released, 3);
  EXPECT_EQ(released, 0u);
  e.reclaim();
  EXPECT_EQ(released, 3u);
}

TEST(Epoch, AGuardHoldsWhatItCouldSee) {
  Epoch e;
  std::uint64_t released = 0;
  auto guard = std::make_unique<Epoch::Guard>(e);
  e.retire(count_up, &released, 1);
  e.reclaim();
  e.reclaim();
  EXPECT_EQ(released, 0u);
  // A guard that another thread took after an epoch has ended holds nothing older.
  std::promise<void> entered, leave;
  std::thread later([&] {
    const Epoch::Guard g(e);
    entered.set_value();
    leave.get_future().wait();
  });
  entered.get_future().wait();
  guard.reset();
  e.reclaim();
  EXPECT_EQ(released, 1u);
  leave.set_value();
  later.join();
}

TEST(Epoch, NestedGuardsHoldWhatTheOutermostCouldSee) {
  Epoch e;
  std::uint64_t released = 0;
  auto outer = std::make_unique<Epoch::Guard>(e);
  e.retire(count_up, &released, 1);
  auto inner = std::make_unique<Epoch::Guard>(e);
  outer.reset();
  e.reclaim();
  EXPECT_EQ(released, 0u);
  inner.reset();
  e.reclaim();
  EXPECT_EQ(released, 1u);
}

// Records of threads that have ended serve others: nothing that they once held stays held.
TEST(Epoch, ThreadsComeAndGo) {
  Epoch e;
  std::uint64_t released = 0;
  for (std::uint64_t i = 0; i < 300; ++i) {
    std::thread([&e] { const Epoch::Guard g(e); }).join();
    e.retire(count_up, &released, 1);
    e.reclaim();
    ASSERT_EQ(released, i + 1);
  }
}

TEST(Epoch, DrainsAtItsEnd) {
  std::uint64_t released = 0;
  {
    Epoch e;
    e.retire(count_up, &released, 1);
  }
  EXPECT_EQ(released, 1u);
}

TEST(Epoch, RetireReclaimsByItself) {
  Epoch e;
  std::uint64_t released = 0;
  for (int i = 0; i < 5000; ++i) e.retire(count_up, &released, 1);
  EXPECT_GT(released, 4000u);
}

// Readers follow a pointer that the writer replaces all the time. A released
// box is poisoned before it is freed, and ASan and TSan watch too.
TEST(Epoch, ReadersNeverSeeReleased) {
  Epoch e;
  struct Box {
    std::uint64_t value;
  };
  std::atomic<Box*> shared{new Box{1}};
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> wrong{0}, reads{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        const Epoch::Guard g(e);
        const Box* b = shared.load(std::memory_order_acquire);
        if (b->value == 0) wrong.fetch_add(1);
        reads.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  for (std::uint64_t i = 2; i < 20000 || reads.load() < 1000; ++i) {
    Box* old = shared.exchange(new Box{i}, std::memory_order_acq_rel);
    e.retire(
        [](void* b, std::uint64_t) {
          static_cast<Box*>(b)->value = 0;
          delete static_cast<Box*>(b);
        },
        old, 0);
  }
  stop = true;
  for (std::thread& t : readers) t.join();
  EXPECT_EQ(wrong.load(), 0u);
  delete shared.load();
}

}  // namespace
}  // namespace dvr::test
