// Readers beside the writer. Run it under ThreadSanitizer.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "lib/fib.h"
#include "test/fib_model.h"

namespace dvr::test {
namespace {

// A default route is always there, and each class's group says the class: so
// every answer can be checked by itself, whatever the writer does meanwhile.
TEST(Concurrency, EveryAnswerIsWhole) {
  Fib fib;
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> answers{0}, wrong{0};
  const auto group_of = [](std::uint32_t c) { return hops(c, 1 + c % 3); };
  std::map<ClassId, std::uint32_t> number;
  for (std::uint32_t c = 0; c < 40; ++c) number[class_id(c)] = c;

  const auto table = [&](Random& r) {
    Reference t;
    for (int i = 0; i < 300; ++i) {
      t.prefixes[random_prefix(r)] = class_id(1 + static_cast<std::uint32_t>(below(r, 39)));
    }
    t.prefixes[*parse_prefix("0.0.0.0/0")] = class_id(0);
    t.prefixes[*parse_prefix("::/0")] = class_id(0);
    for (const auto& entry : t.prefixes) t.groups[entry.second] = group_of(number.at(entry.second));
    return t;
  };
  Random writer(1);
  send_full(&fib, table(writer), 1);

  const auto check = [&](const Address& a) {
    const auto m = fib.lookup(a);
    bool good = m.has_value();
    if (good) {
      const bool covers =
          a.family == 4 ? Prefix4{m->prefix.address.as_v4(), m->prefix.length}.contains(a.as_v4())
                        : Prefix6{m->prefix.address.bits, m->prefix.length}.contains(a.bits);
      const auto known = number.find(m->class_id);
      // Empty: withdrawn, its prefixes on their way out.
      good = covers && known != number.end() &&
             (m->next_hops.empty() || m->next_hops == group_of(known->second));
    }
    answers.fetch_add(1, std::memory_order_relaxed);
    if (!good) wrong.fetch_add(1, std::memory_order_relaxed);
  };
  std::vector<std::thread> readers;
  for (std::uint64_t t = 0; t < 2; ++t) {
    readers.emplace_back([&, t] {
      Random r(100 + t);
      std::vector<std::uint32_t> keys(40);
      std::vector<std::uint32_t> ids(40);
      while (!stop.load(std::memory_order_relaxed)) {
        check(random_prefix(r).address);
        for (auto& k : keys) k = random_prefix(r).address.as_v4() & 0x0affffff;
        fib.find4(keys, ids);
        for (const std::uint32_t id : ids) {
          if (id == 0) wrong.fetch_add(1, std::memory_order_relaxed);
        }
        if (fib.summary().digest == Digest{}) wrong.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  for (std::uint64_t revision = 2; revision < 150 || answers.load() < 3000; ++revision) {
    if (revision % 3 == 0) {
      ASSERT_TRUE(fib.begin(DeltaKind::kIncremental).ok());
      const auto c = 1 + static_cast<std::uint32_t>(below(writer, 39));
      ASSERT_TRUE(fib.withdraw_group(class_id(c)).ok());
      ASSERT_TRUE(fib.end(at(revision), "n").ok());
      while (fib.step(50)) {
      }
    } else {
      send_full(&fib, table(writer), revision);
    }
  }
  stop = true;
  for (std::thread& t : readers) t.join();
  EXPECT_EQ(wrong.load(), 0u);
}

}  // namespace
}  // namespace dvr::test
