// FULL deltas: whatever is there, what was sent is what stands.
#include <gtest/gtest.h>

#include "lib/fib.h"
#include "test/fib_model.h"

namespace dvr::test {
namespace {

TEST(Reconcile, AnyTableToAnyOther) {
  Random r(1);
  Fib fib;
  for (std::uint64_t i = 1; i <= 60; ++i) {
    const Reference want =
        random_reference(r, below(r, 300), 1 + static_cast<std::uint32_t>(below(r, 20)));
    send_full(&fib, want, i);
    expect_equal(fib, want, r);
    if (HasFatalFailure()) return;
  }
  send_full(&fib, {}, 100);
  EXPECT_EQ(fib.digest(), Digest{});
  expect_equal(fib, {}, r);
}

// The protocol's resume: bucket sums are compared, the buckets that differ are sent.
TEST(Reconcile, OnlyTheBucketsThatDiffer) {
  Random r(2);
  for (int round = 0; round < 20; ++round) {
    Fib fib, controller;
    const Reference held = random_reference(r, 400, 8);
    Reference want = held;
    for (int i = 0; i < 10; ++i) {
      const auto it = std::next(want.prefixes.begin(),
                                static_cast<std::ptrdiff_t>(below(r, want.prefixes.size())));
      if (i % 2 == 0) {
        want.prefixes.erase(it);
      } else {
        it->second = want.prefixes.begin()->second;
      }
      const Prefix p = random_prefix(r);
      want.prefixes.try_emplace(p, want.prefixes.begin()->second);
    }
    send_full(&fib, held, 1);
    send_full(&controller, want, 2);
    const auto mine = fib.buckets(), theirs = controller.buckets();
    BucketBitmap differ{};
    std::size_t n = 0;
    for (std::uint32_t b = 0; b < kBuckets; ++b) {
      if ((*mine)[b] == (*theirs)[b]) continue;
      set_bucket(differ, b);
      ++n;
    }
    EXPECT_GT(n, 0u);
    EXPECT_LT(n, 40u);
    send_full(&fib, want, 2, &differ);
    expect_equal(fib, want, r);
    // And what a limited delta left unnamed is still swept by the next whole one.
    send_full(&fib, {}, 3);
    expect_equal(fib, {}, r);
    if (HasFatalFailure()) return;
  }
}

// Cut anywhere, then made whole: the cut leaves no trace in the marks.
TEST(Reconcile, AfterACutDelta) {
  Random r(3);
  Fib fib;
  for (std::uint64_t i = 1; i <= 60; ++i) {
    const Reference other = random_reference(r, 200, 9);
    ASSERT_TRUE(fib.begin(DeltaKind::kFull).ok());
    std::uint32_t k = 0;
    PackedColumns columns;
    for (const auto& [p, id] : other.prefixes) {
      if (below(r, 3) == 0) continue;
      ASSERT_TRUE(fib.define_class(k, id, "").ok());
      ASSERT_TRUE(fib.set_group(k, other.groups.at(id)).ok());
      columns.add(p, k++);
    }
    ASSERT_TRUE(fib.set(columns.view()).ok());
    fib.abort();
    EXPECT_TRUE(fib.summary().partial);
    const Reference want = random_reference(r, 200, 9);
    send_full(&fib, want, i);
    EXPECT_FALSE(fib.summary().partial);
    expect_equal(fib, want, r);
    if (HasFatalFailure()) return;
  }
}

// A class that a FULL delta does not name goes with its prefixes, in or out of the buckets.
TEST(Reconcile, UnnamedClassesGo) {
  Random r(4);
  Fib fib;
  Reference held = random_reference(r, 300, 5);
  send_full(&fib, held, 1);
  const ClassId gone = held.groups.begin()->first;
  Reference want = held;
  want.withdraw(gone);
  const BucketBitmap none{};
  send_full(&fib, want, 2, &none);
  expect_equal(fib, want, r);
}

TEST(Reconcile, InternetSizedTableIsTouchedOnlyWhereItDiffers) {
  struct Counter final : FibListener {
    void group_changed(std::uint32_t, const ClassId&, std::span<const NextHop>) override {}
    void prefix_set(const Prefix&, std::uint32_t) override { ++n; }
    void prefix_removed(const Prefix&) override { ++n; }
    void class_released(std::uint32_t, const ClassId&) override {}
    void delta_ended(const Summary&) override {}
    int n = 0;
  } counter;
  const auto table = internet4(150000);
  Fib fib;
  for (std::uint64_t round = 1; round <= 2; ++round) {
    ASSERT_TRUE(fib.begin(DeltaKind::kFull).ok());
    for (std::uint32_t c = 0; c < 1000; ++c) {
      ASSERT_TRUE(fib.define_class(c, class_id(c), "").ok());
      ASSERT_TRUE(fib.set_group(c, hops(c)).ok());
    }
    PackedColumns columns;
    // The second time, the last 5 are missing and the first 7 have another class.
    for (std::size_t i = 0; i < table.size() - (round == 2 ? 5 : 0); ++i) {
      const std::size_t c = round == 2 && i < 7 ? i + 1 : i;
      columns.add(Prefix::of(table[i]), static_cast<std::uint32_t>(c % 1000));
    }
    ASSERT_TRUE(fib.set(columns.view()).ok());
    ASSERT_TRUE(fib.end(at(round), "n").ok());
    if (round == 1) fib.add_listener(&counter);
  }
  EXPECT_EQ(counter.n, 12);
  EXPECT_EQ(fib.summary().prefixes4, table.size() - 5);
}

}  // namespace
}  // namespace dvr::test
