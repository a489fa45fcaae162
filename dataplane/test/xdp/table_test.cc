// The tables against a slow model: random ones of all lengths, nests, churn, others' routes.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "test/tables.h"
#include "test/xdp/reader.h"

namespace dvr::xdp::test {
namespace {

using dvr::test::below;
using dvr::test::cut;
using dvr::test::edges;
using dvr::test::Model;
using dvr::test::Random;
using dvr::test::random_address;

constexpr std::size_t kLimit = std::size_t{256} << 20;

// A table in memory, and what it should answer.
template <class P>
class Pair {
 public:
  using A = typename P::Address;

  explicit Pair(std::size_t pool = std::size_t{16} << 20) : maps(pool), table(kLimit) {
    table.render(maps.root.data(), &maps.default_id, &maps.pool);
  }

  void set(const P& p, std::uint32_t id) {
    table.set(p, id);
    ours_.set(p, id);
    fix(p);
  }
  void erase(P p) {  // which may be in what it is erased from
    table.erase(p);
    ours_.erase(p);
    fix(p);
  }
  void set_other(const P& p, bool weak) {
    table.set_other(p, weak);
    theirs_[p] = weak;
    fix(p);
  }
  void erase_other(P p) {
    table.erase_other(p);
    theirs_.erase(p);
    fix(p);
  }

  [[nodiscard]] std::uint32_t expected(A a) const {
    return reserved(a) ? DVR_OTHER : both_.lookup(a).id;
  }
  void check(A a) const { ASSERT_EQ(maps.find(a), expected(a)) << text(a); }
  void check(const P& p) const {
    for (const A a : edges(p)) check(a);
  }
  void check_all(Random& r, std::size_t random) const {
    for (const auto& [p, id] : both_.entries()) check(p);
    for (std::size_t i = 0; i < random; ++i) check(random_address<A>(r));
  }
  [[nodiscard]] const Model<P>& ours() const { return ours_; }
  [[nodiscard]] const std::map<P, bool>& theirs() const { return theirs_; }

  Maps<P> maps;
  Table<P> table;

 private:
  static std::string text(A a) {
    return to_string(Prefix::of(P{a, static_cast<std::uint8_t>(P::kWidth)}));
  }
  void fix(const P& p) {
    const auto our = ours_.entries().find(p);
    const auto their = theirs_.find(p);
    const bool has = our != ours_.entries().end();
    if (their != theirs_.end() && (!their->second || !has)) {
      both_.set(p, DVR_OTHER);
    } else if (has) {
      both_.set(p, our->second);
    } else {
      both_.erase(p);
    }
  }

  Model<P> ours_, both_;
  std::map<P, bool> theirs_;
};

template <class P>
class XdpTableTest : public testing::Test {};
using Families = testing::Types<Prefix4, Prefix6>;
TYPED_TEST_SUITE(XdpTableTest, Families);

// A prefix of any length near what is there, so that they nest.
template <class P>
P near(Random& r, const std::vector<P>& known) {
  const int length = static_cast<int>(below(r, P::kWidth + 1));
  if (known.empty() || below(r, 3) == 0)
    return cut<P>(random_address<typename P::Address>(r), length);
  const P& p = known[below(r, known.size())];
  const auto noise = static_cast<typename P::Address>(random_address<typename P::Address>(r) &
                                                      ~mask_of<typename P::Address>(p.length));
  return cut<P>(static_cast<typename P::Address>(p.address | noise), length);
}

TYPED_TEST(XdpTableTest, AnswersAsTheModelThroughRandomChanges) {
  using P = TypeParam;
  // Ids of a byte, of two, and of more than two.
  for (const std::uint32_t ids : {5u, 300u, 200'000u}) {
    Random r(ids);
    Pair<P> pair;
    std::vector<P> known;
    for (int round = 0; round < 60; ++round) {
      std::vector<P> touched;
      for (int i = 0; i < 60; ++i) {
        const std::size_t what = below(r, 20);
        const P p = near(r, known);
        if (what < 11) {
          pair.set(p, 2 + static_cast<std::uint32_t>(below(r, ids)));
          known.push_back(p);
          touched.push_back(p);
        } else if (what < 17 && !pair.ours().entries().empty()) {
          touched.push_back(pair.ours().pick(r));
          pair.erase(touched.back());
        } else if (what < 19) {
          pair.set_other(known.empty() || below(r, 2) == 0 ? p : known[below(r, known.size())],
                         below(r, 2) == 0);
        } else if (!pair.theirs().empty()) {
          touched.push_back(pair.theirs().begin()->first);
          pair.erase_other(touched.back());
        }
      }
      pair.table.flush();
      for (const P& p : touched) ASSERT_NO_FATAL_FAILURE(pair.check(p));
      pair.maps.pool.give_back(pair.maps.pool.take_retired());
    }
    ASSERT_NO_FATAL_FAILURE(pair.check_all(r, 20'000));
    ASSERT_FALSE(pair.table.overflowed());
    // All of it goes, and all of its memory.
    while (!pair.ours().entries().empty()) pair.erase(pair.ours().entries().begin()->first);
    while (!pair.theirs().empty()) pair.erase_other(pair.theirs().begin()->first);
    pair.table.flush();
    pair.maps.pool.give_back(pair.maps.pool.take_retired());
    EXPECT_EQ(pair.maps.pool.used(), 0u);
    ASSERT_NO_FATAL_FAILURE(pair.check_all(r, 1000));
  }
}

TYPED_TEST(XdpTableTest, NestsOfAllLengths) {
  using P = TypeParam;
  Random r(7);
  Pair<P> pair;
  // 10..., 2001:db8:...: a chain from the default route to one address, and one of every
  // second length beside it.
  auto a = static_cast<typename P::Address>(0x0a010203);
  if constexpr (P::kWidth == 128)
    a = load_u128("\x20\x01\x0d\xb8\x12\x34\x56\x78\x9a\xbc\xde\xf0\1\2\3\4");
  for (int length = 0; length <= P::kWidth; ++length) {
    pair.set(cut<P>(a, length), 2 + static_cast<std::uint32_t>(length));
  }
  pair.table.flush();
  ASSERT_NO_FATAL_FAILURE(pair.check_all(r, 1000));
  for (int length = 0; length <= P::kWidth; length += 2) pair.erase(cut<P>(a, length));
  pair.table.flush();
  ASSERT_NO_FATAL_FAILURE(pair.check_all(r, 1000));
}

TYPED_TEST(XdpTableTest, LonePrefixesTakeLittle) {
  using P = TypeParam;
  Random r(8);
  Pair<P> pair;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    auto a = random_address<typename P::Address>(r);
    if constexpr (P::kWidth == 128) a = (a >> 3) | static_cast<u128>(1) << 125;
    pair.set(cut<P>(a, P::kWidth), 2 + i % 100);
  }
  pair.table.flush();
  EXPECT_LT(pair.maps.pool.used(), std::size_t{1000} * 320);
  ASSERT_NO_FATAL_FAILURE(pair.check_all(r, 1000));
}

TYPED_TEST(XdpTableTest, DefaultRouteIsOneStore) {
  using P = TypeParam;
  Pair<P> pair;
  const std::vector<std::uint32_t> before = pair.maps.root;
  pair.set(P{}, 9);
  EXPECT_EQ(pair.maps.default_id, 9u);
  EXPECT_EQ(pair.maps.root, before);
  pair.set_other(P{}, true);
  EXPECT_EQ(pair.maps.default_id, 9u);
  pair.set_other(P{}, false);
  EXPECT_EQ(pair.maps.default_id, DVR_OTHER);
  pair.erase(P{});
  pair.erase_other(P{});
  EXPECT_EQ(pair.maps.default_id, 0u);
}

TYPED_TEST(XdpTableTest, WhatHasNoRoomGoesToTheKernelUntilThereIsMore) {
  using P = TypeParam;
  Random r(3);
  Pair<P> pair(4096);
  std::vector<P> known;
  for (int i = 0; i < 4000; ++i) {
    const P p = near(r, known);
    if (p.length <= Table<P>::kRoot) continue;
    known.push_back(p);
    pair.set(p, 2 + static_cast<std::uint32_t>(below(r, 1000)));
  }
  pair.table.flush();
  EXPECT_TRUE(pair.table.overflowed());
  std::size_t passed = 0;
  for (const P& p : known) {
    for (const auto a : edges(p)) {
      const std::uint32_t id = pair.maps.find(a);
      if (id != pair.expected(a)) {
        ASSERT_EQ(id, DVR_OTHER);
        ++passed;
      }
    }
  }
  EXPECT_GT(passed, 0u);
  // A larger generation, from the same truth.
  Maps<P> larger(std::size_t{32} << 20);
  pair.table.render(larger.root.data(), &larger.default_id, &larger.pool);
  EXPECT_FALSE(pair.table.overflowed());
  for (const P& p : known) {
    for (const auto a : edges(p)) ASSERT_EQ(larger.find(a), pair.expected(a));
  }
}

// A reader that is always on its way: what it holds must stay as it is until it says so.
TYPED_TEST(XdpTableTest, BlocksAreReusedOnlyAfterAGracePeriod) {
  using P = TypeParam;
  Random r(11);
  Pair<P> pair(std::size_t{1} << 16);
  std::vector<P> known;
  for (int i = 0; i < 20'000; ++i) {
    const P p = near(r, known);
    if (p.length <= Table<P>::kRoot) continue;
    if (known.size() < 60) {
      known.push_back(p);
      pair.set(p, 2 + static_cast<std::uint32_t>(below(r, 1000)));
    } else {
      const std::size_t at = below(r, known.size());
      pair.erase(known[at]);
      known[at] = p;
      pair.set(p, 2 + static_cast<std::uint32_t>(below(r, 1000)));
    }
    pair.table.flush();
  }
  // Far more went through it than it holds, and none of it without waiting.
  EXPECT_GT(pair.maps.graces, 0);
  EXPECT_FALSE(pair.table.overflowed());
  ASSERT_NO_FATAL_FAILURE(pair.check_all(r, 1000));
}

TEST(XdpPoolTest, GivesARetiredBlockOutAfterGraceOnly) {
  std::vector<std::uint8_t> bytes(256);
  bool waited = false;
  Pool pool(bytes.data(), bytes.size(), [&] { waited = true; });
  std::vector<std::uint32_t> blocks;
  for (std::uint32_t b; (b = pool.allocate(3)) != Pool::kNone;) blocks.push_back(b);  // 32 bytes
  ASSERT_EQ(blocks.size(), 7u);
  EXPECT_FALSE(waited);
  pool.retire(blocks[3], 3);
  EXPECT_EQ(pool.waiting(), 32u);
  EXPECT_EQ(pool.allocate(3), blocks[3]);
  EXPECT_TRUE(waited);
  // Who waits elsewhere: nothing comes back before give_back.
  waited = false;
  pool.retire(blocks[5], 3);
  const auto taken = pool.take_retired();
  EXPECT_EQ(pool.allocate(3), Pool::kNone);
  EXPECT_FALSE(waited);
  pool.give_back(taken);
  EXPECT_EQ(pool.allocate(3), blocks[5]);
}

TEST(XdpPoolTest, BlocksAreAlignedAndApart) {
  std::vector<std::uint8_t> bytes(std::size_t{1} << 16);
  Pool pool(bytes.data(), bytes.size(), [] {});
  Random r(5);
  std::map<std::uint32_t, int> held;
  for (int i = 0; i < 20'000; ++i) {
    if (below(r, 2) == 0 && !held.empty()) {
      auto it = held.lower_bound(static_cast<std::uint32_t>(below(r, 1u << 14)));
      if (it == held.end()) it = held.begin();
      pool.retire(it->first, it->second);
      held.erase(it);
      continue;
    }
    const int order = static_cast<int>(below(r, 8));
    const std::uint32_t b = pool.allocate(order);
    if (b == Pool::kNone) continue;
    ASSERT_NE(b, 0u);
    ASSERT_EQ(b % (1u << order), 0u);
    const auto next = held.lower_bound(b);
    if (next != held.end()) {
      ASSERT_GE(next->first, b + (1u << order));
    }
    if (next != held.begin()) {
      ASSERT_LE(std::prev(next)->first + (1u << std::prev(next)->second), b);
    }
    held[b] = order;
  }
}

TEST(XdpPoolTest, SlotsToo) {
  int graces = 0;
  Slots slots(3, [&] { ++graces; });
  EXPECT_EQ(slots.allocate(), 1u);
  EXPECT_EQ(slots.allocate(), 2u);
  EXPECT_EQ(slots.allocate(), 0u);
  slots.retire(1);
  EXPECT_EQ(graces, 0);
  EXPECT_EQ(slots.allocate(), 1u);
  EXPECT_EQ(graces, 1);
}

}  // namespace
}  // namespace dvr::xdp::test
