// The engines against the slow model.
#include "lib/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "test/tables.h"

namespace dvr::test {
namespace {

template <class E>
class EngineTest : public testing::Test {
 public:
  using FixturePrefix = typename E::PrefixType;
  using FixtureAddress = typename FixturePrefix::Address;

  void set(const FixturePrefix& p, std::uint32_t id) {
    ASSERT_TRUE(engine_.set(p, id));
    model_.set(p, id);
  }
  void erase(const FixturePrefix& p) {
    model_.erase(p);
    ASSERT_TRUE(engine_.erase(p, model_.cover(p)));
  }
  void check(FixtureAddress a) {
    const Hit want = model_.lookup(a), got = engine_.lookup(a);
    ASSERT_EQ(got.id, want.id) << to_string(cut<FixturePrefix>(a, FixturePrefix::kWidth));
    ASSERT_EQ(got.length, want.length) << to_string(cut<FixturePrefix>(a, FixturePrefix::kWidth));
    ASSERT_EQ(engine_.find(a), want.id) << to_string(cut<FixturePrefix>(a, FixturePrefix::kWidth));
  }
  void check_edges(const FixturePrefix& p) {
    for (const FixtureAddress a : edges(p)) check(a);
  }
  void check_everywhere() {
    for (const auto& entry : model_.entries()) check_edges(entry.first);
  }

  Epoch epoch_;
  E engine_{&epoch_, std::size_t{1} << 28};
  Model<FixturePrefix> model_;
};

using Engines = testing::Types<Engine4, Engine6>;
TYPED_TEST_SUITE(EngineTest, Engines);

TYPED_TEST(EngineTest, EmptyFindsNothing) {
  this->check(0);
  this->check(
      static_cast<typename TestFixture::FixtureAddress>(~typename TestFixture::FixtureAddress{0}));
}

TYPED_TEST(EngineTest, EveryLengthAlone) {
  using P = typename TestFixture::FixturePrefix;
  Random r(1);
  for (int length = 0; length <= P::kWidth; ++length) {
    const P p = cut<P>(random_address<typename P::Address>(r), length);
    this->set(p, static_cast<std::uint32_t>(length) + 1);
    this->check_edges(p);
    this->erase(p);
    this->check_edges(p);
  }
}

// All prefixes of one address, put in and taken out in every kind of order.
TYPED_TEST(EngineTest, NestsOfAllLengths) {
  using P = typename TestFixture::FixturePrefix;
  Random r(2);
  for (int round = 0; round < 20; ++round) {
    const auto a = random_address<typename P::Address>(r);
    std::vector<int> order;
    for (int length = 0; length <= P::kWidth; ++length) order.push_back(length);
    if (round == 1) std::reverse(order.begin(), order.end());
    if (round > 1) std::shuffle(order.begin(), order.end(), r);
    for (const int length : order) {
      this->set(cut<P>(a, length), static_cast<std::uint32_t>(length) + 1);
      this->check(a);
    }
    this->check_everywhere();
    if (round > 2) std::shuffle(order.begin(), order.end(), r);
    for (const int length : order) {
      this->erase(cut<P>(a, length));
      this->check_edges(cut<P>(a, length));
    }
    this->check(a);
  }
}

// Dense little universes: every split, wrap, branch and fold comes up, with
// equal ids beside each other.
TYPED_TEST(EngineTest, ChurnInASmallUniverse) {
  using P = typename TestFixture::FixturePrefix;
  using A = typename P::Address;
  for (const std::uint64_t seed : {3u, 4u, 5u, 6u, 7u, 8u}) {
    Random r(seed);
    const A base = random_address<A>(r);
    const int free_bits = 3 + static_cast<int>(below(r, 9));
    const int shift =
        static_cast<int>(below(r, static_cast<std::size_t>(P::kWidth - free_bits - 1)));
    const std::size_t ids = 1 + below(r, 4);
    const auto somewhere = [&] {
      return static_cast<A>(base ^
                            static_cast<A>(static_cast<A>(r() & ((1u << free_bits) - 1)) << shift));
    };
    for (int i = 0; i < 6000; ++i) {
      const int low = std::max(0, P::kWidth - shift - free_bits - 2);
      const int high = std::min(P::kWidth, P::kWidth - shift + 2);
      const int length = low + static_cast<int>(below(r, static_cast<std::size_t>(high - low + 1)));
      const P p = cut<P>(somewhere(), length);
      if (this->model_.entries().contains(p) && below(r, 2) == 0) {
        this->erase(p);
      } else {
        this->set(p, 1 + static_cast<std::uint32_t>(below(r, ids)));
      }
      this->check_edges(p);
      for (int k = 0; k < 4; ++k) this->check(somewhere());
      if (testing::Test::HasFatalFailure()) return;
    }
    this->check_everywhere();
    while (!this->model_.entries().empty()) this->erase(this->model_.pick(r));
  }
}

TYPED_TEST(EngineTest, RandomTableWithChurn) {
  using P = typename TestFixture::FixturePrefix;
  using A = typename P::Address;
  Random r(9);
  std::vector<A> seeds(300);
  for (A& a : seeds) a = random_address<A>(r);
  for (int i = 0; i < 30000; ++i) {
    const int length = static_cast<int>(below(r, P::kWidth + 1));
    const A near =
        seeds[below(r, seeds.size())] ^ static_cast<A>(random_address<A>(r) >> below(r, P::kWidth));
    const P p = cut<P>(near, length);
    if (below(r, 3) == 0 && !this->model_.entries().empty()) {
      this->erase(this->model_.pick(r));
    } else {
      this->set(p, 1 + static_cast<std::uint32_t>(below(r, 60000)));
    }
    this->check_edges(p);
    if (testing::Test::HasFatalFailure()) return;
  }
  this->check_everywhere();
}

// What is erased gives its memory back: churn for ever stays bounded.
TYPED_TEST(EngineTest, MemoryIsGivenAgain) {
  using P = typename TestFixture::FixturePrefix;
  using A = typename P::Address;
  Random r(10);
  std::size_t after_first = 0;
  for (int round = 0; round < 8; ++round) {
    for (int i = 0; i < 4000; ++i) {
      const A a = static_cast<A>(random_address<A>(r) >> 3);
      this->set(cut<P>(a, static_cast<int>(below(r, P::kWidth + 1))),
                1 + static_cast<std::uint32_t>(below(r, 50)));
    }
    while (!this->model_.entries().empty()) this->erase(this->model_.pick(r));
    this->epoch_.reclaim();
    if (round == 1) after_first = this->engine_.bytes();
  }
  EXPECT_LE(this->engine_.bytes(), after_first + (1u << 18));
  this->check(0);
}

TYPED_TEST(EngineTest, FullEngineRefusesAndStaysRight) {
  using P = typename TestFixture::FixturePrefix;
  using A = typename P::Address;
  Epoch epoch;
  TypeParam engine(&epoch, 1u << 20);
  Model<P> model;
  Random r(11);
  bool refused = false;
  for (int i = 0; i < 200000 && !refused; ++i) {
    const P p = cut<P>(random_address<A>(r), P::kWidth - static_cast<int>(below(r, 4)));
    refused = !engine.set(p, 1 + static_cast<std::uint32_t>(below(r, 9)));
    if (!refused) model.set(p, engine.lookup(p.address).id);
    ASSERT_EQ(engine.lookup(p.address), model.lookup(p.address));
  }
  EXPECT_TRUE(refused);
  std::size_t i = 0;
  for (const auto& [p, id] : model.entries()) {
    if (++i % 16 != 0) continue;
    ASSERT_EQ(engine.lookup(p.address), model.lookup(p.address));
  }
}

// What no engine wrote is refused.
TYPED_TEST(EngineTest, AnImageWithTwoDefaultRoutesIsRefused) {
  using P = typename TestFixture::FixturePrefix;
  this->set(P{0, 0}, 5);
  std::string image;
  this->engine_.save(&image);
  const auto restores = [](const std::string& bytes) {
    Epoch epoch;
    TypeParam engine(&epoch, std::size_t{1} << 28);
    ByteReader in(bytes);
    return engine.restore(&in, [](std::uint32_t) { return true; });
  };
  EXPECT_TRUE(restores(image));
  const std::size_t at = image.find(std::string("\5\0\0\0\5\0\0\0", 8));
  ASSERT_NE(at, std::string::npos);
  image[at + 4] = 6;
  EXPECT_FALSE(restores(image));
}

TEST(EngineImage, ASkipWithBitsBehindItsLengthIsRefused) {
  const Prefix4 p{0x0a010280, 28};
  const auto restores = [](const std::string& bytes) {
    Epoch epoch;
    Engine4 engine(&epoch, std::size_t{1} << 28);
    ByteReader in(bytes);
    return engine.restore(&in, [](std::uint32_t) { return true; });
  };
  Epoch epoch;
  Engine4 engine(&epoch, std::size_t{1} << 28);
  ASSERT_TRUE(engine.set(p, 9));
  std::string image;
  engine.save(&image);
  EXPECT_TRUE(restores(image));
  const std::size_t path = image.find(std::string("\x80\2\1\x0a", 4));
  ASSERT_NE(path, std::string::npos);
  image[path] = '\x81';
  EXPECT_FALSE(restores(image));
}

TYPED_TEST(EngineTest, BatchesEqualSingles) {
  using P = typename TestFixture::FixturePrefix;
  using A = typename P::Address;
  Random r(12);
  std::vector<A> keys;
  for (int i = 0; i < 3000; ++i) {
    const A a = random_address<A>(r);
    this->set(cut<P>(a, static_cast<int>(below(r, P::kWidth + 1))),
              1 + static_cast<std::uint32_t>(below(r, 60000)));
    keys.push_back(a);
    keys.push_back(random_address<A>(r));
  }
  keys.pop_back();  // an odd number: a tail behind the last whole batch
  std::vector<std::uint32_t> ids(keys.size()), want;
  for (const A a : keys) want.push_back(this->model_.lookup(a).id);
  for (const flat::Path path : flat::kPaths) {
    if (!flat::supported(path)) continue;
    // Every size of a tail, and the whole.
    for (std::size_t n = 0; n < 400; ++n) {
      this->engine_.find(path, std::span(keys).first(n), ids);
      for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(ids[i], want[i]);
    }
    this->engine_.find(path, keys, ids);
    ASSERT_EQ(ids, want) << flat::name_of(path);
  }
}

// The size and shape of the Internet's table, against the model at random addresses.
TEST(EngineInternet, Table4) {
  Epoch epoch;
  Engine4 engine(&epoch, std::size_t{1} << 30);
  Model<Prefix4> model;
  Random r(13);
  for (const Prefix4& p : internet4(200000)) {
    const auto id = 1 + static_cast<std::uint32_t>(below(r, 60000));
    ASSERT_TRUE(engine.set(p, id));
    model.set(p, id);
  }
  for (int i = 0; i < 100000; ++i) {
    const auto a = random_address<std::uint32_t>(r);
    ASSERT_EQ(engine.lookup(a), model.lookup(a));
  }
}

TEST(EngineInternet, Table6) {
  Epoch epoch;
  Engine6 engine(&epoch, std::size_t{1} << 30);
  Model<Prefix6> model;
  Random r(14);
  for (const Prefix6& p : internet6(60000)) {
    const auto id = 1 + static_cast<std::uint32_t>(below(r, 60000));
    ASSERT_TRUE(engine.set(p, id));
    model.set(p, id);
  }
  for (int i = 0; i < 50000; ++i) {
    const Prefix6 p = model.pick(r);
    const u128 a = p.address | (random_address<u128>(r) & ~mask_of<u128>(p.length));
    ASSERT_EQ(engine.lookup(a), model.lookup(a));
  }
}

}  // namespace
}  // namespace dvr::test
