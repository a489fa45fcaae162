// The prefix table against a map.
#include "lib/table.h"

#include <gtest/gtest.h>

#include <map>

#include "test/tables.h"

namespace dvr::test {
namespace {

template <class P>
class TableTest : public testing::Test {};
using Families = testing::Types<Prefix4, Prefix6>;
TYPED_TEST_SUITE(TableTest, Families);

template <class P>
void expect_equal(const PrefixTable<P>& t, const std::map<P, std::uint32_t>& model) {
  ASSERT_EQ(t.size(), model.size());
  std::size_t seen = 0;
  for (std::size_t i = 0; i < t.slots(); ++i) {
    if (!t.occupied(i)) continue;
    ++seen;
    const auto it = model.find(t.prefix(i));
    ASSERT_NE(it, model.end());
    ASSERT_EQ(t.id(i), it->second);
    ASSERT_EQ(t.find(it->first), i);
  }
  ASSERT_EQ(seen, model.size());
  for (int length = 0; length <= P::kWidth; ++length) {
    std::size_t n = 0;
    for (const auto& entry : model) n += entry.first.length == length ? 1 : 0;
    ASSERT_EQ(t.count(length), n);
  }
}

TYPED_TEST(TableTest, ChurnEqualsAMap) {
  using P = TypeParam;
  Random r(1);
  PrefixTable<P> t;
  std::map<P, std::uint32_t> model;
  for (int i = 0; i < 40000; ++i) {
    // Few addresses, so that the same prefixes come and go.
    const auto a = static_cast<typename P::Address>(static_cast<typename P::Address>(r() % 512)
                                                    << (P::kWidth - 9));
    const P p = cut<P>(a, 9 + static_cast<int>(below(r, P::kWidth - 8)));
    const std::size_t slot = t.find(p);
    ASSERT_EQ(slot != t.kNone, model.contains(p));
    if (slot == t.kNone) {
      const auto id = 1 + static_cast<std::uint32_t>(below(r, kMaxId));
      t.insert(p, id, below(r, 2) == 0);
      model[p] = id;
    } else if (below(r, 3) == 0) {
      const bool mark = t.mark(slot);
      t.set_id(slot, 77);
      model[p] = 77;
      ASSERT_EQ(t.mark(slot), mark);
      t.set_mark(slot, !mark);
      ASSERT_EQ(t.mark(slot), !mark);
      ASSERT_EQ(t.id(slot), 77u);
    } else {
      t.erase(slot);
      model.erase(p);
    }
    if (i % 4000 == 0) expect_equal(t, model);
  }
  expect_equal(t, model);
}

// Large enough for the lengths by block, before and after it grows and shrinks.
TYPED_TEST(TableTest, CoverEqualsAMap) {
  using P = TypeParam;
  using A = typename P::Address;
  Random r(2);
  PrefixTable<P> t;
  std::map<P, std::uint32_t> model;
  const auto random_prefix = [&r] {
    // Of all lengths, near each other at the first bits and far apart at the last.
    const A a = static_cast<A>(random_address<A>(r) & ~(mask_of<A>(20) & ~mask_of<A>(4))) |
                static_cast<A>(static_cast<A>(r() % 64) << (P::kWidth - 12));
    return cut<P>(a, static_cast<int>(below(r, P::kWidth + 1)));
  };
  const auto check = [&] {
    std::size_t found = 0;
    for (int i = 0; i < 5000; ++i) {
      const P p = random_prefix();
      Hit want;
      for (int length = p.length - 1; length >= 0 && !want; --length) {
        const auto it = model.find(cut<P>(p.address, length));
        if (it != model.end() && it->second % 3 != 0) {
          want = {it->second, static_cast<std::uint8_t>(length)};
        }
      }
      found += want ? 1 : 0;
      ASSERT_EQ(t.cover(p, [](std::uint32_t id) { return id % 3 != 0; }), want);
    }
    ASSERT_GT(found, 1000u);
  };
  for (std::uint32_t i = 1; i < 150000; ++i) {
    const P p = random_prefix();
    if (!model.emplace(p, i).second) continue;
    t.insert(p, i, false);
    if (i % 15000 == 0) check();
  }
  ASSERT_GE(t.slots(), 1u << 16);
  for (auto it = model.begin(); it != model.end();) {
    if (below(r, 3) == 0) {
      ++it;
      continue;
    }
    t.erase(t.find(it->first));
    it = model.erase(it);
  }
  check();
}

TYPED_TEST(TableTest, ReserveKeepsWhatIsThere) {
  using P = TypeParam;
  PrefixTable<P> t;
  t.insert(cut<P>(0, 0), 5, true);
  t.reserve(100000);
  const std::size_t slots = t.slots();
  EXPECT_GE(slots * 4 / 5, 100000u);
  ASSERT_NE(t.find(cut<P>(0, 0)), t.kNone);
  EXPECT_TRUE(t.mark(t.find(cut<P>(0, 0))));
  Random r(2);
  for (std::uint32_t i = 1; i < 100000; ++i) {
    const P p = cut<P>(random_address<typename P::Address>(r), P::kWidth);
    if (t.find(p) == t.kNone) t.insert(p, i, false);
  }
  EXPECT_EQ(t.slots(), slots);
}

TEST(TableSize, BytesASlot) {
  PrefixTable<Prefix4> four;
  PrefixTable<Prefix6> six;
  EXPECT_EQ(four.bytes() / four.slots(), 8u);
  EXPECT_EQ(six.bytes() / six.slots(), 20u);
}

}  // namespace
}  // namespace dvr::test
