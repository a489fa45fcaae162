// Canonical order of groups and the choice of a hop for a flow.
#include "lib/group.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "test/tables.h"

namespace dvr::test {
namespace {

NextHop hop(std::uint32_t address, std::uint16_t weight = 1, const char* via = "") {
  NextHop h;
  h.address = Address::v4(address);
  h.weight = weight;
  h.via = via;
  return h;
}

TEST(Canonical, AnyOrderGivesOne) {
  Random r(1);
  std::vector<NextHop> hops = {hop(1), hop(2, 300), hop(2, 1, "r2"), hop(0x01000000), {}};
  hops[4].interface = "eth0";
  canonicalize(&hops);
  const auto want = hops;
  for (int i = 0; i < 50; ++i) {
    std::shuffle(hops.begin(), hops.end(), r);
    canonicalize(&hops);
    ASSERT_EQ(hops, want);
  }
  EXPECT_EQ(want[0].interface, "eth0");  // no address sorts first
}

TEST(Canonical, WeightsOfEqualsAdd) {
  std::vector<NextHop> hops = {hop(1, 2), hop(2), hop(1, 3)};
  canonicalize(&hops);
  EXPECT_EQ(hops, (std::vector<NextHop>{hop(1, 5), hop(2)}));
  hops = {hop(1, 65000), hop(1, 65000)};
  canonicalize(&hops);
  EXPECT_EQ(hops, (std::vector<NextHop>{hop(1, 65535)}));
}

TEST(Choose, InProportionToWeights) {
  const std::vector<NextHop> hops = {hop(1, 1), hop(2, 2), hop(3, 5)};
  std::vector<int> count(3);
  Random r(2);
  constexpr int kFlows = 80000;
  for (int i = 0; i < kFlows; ++i) ++count[choose_hop(hops, r())];
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(count[i], kFlows / 8 * hops[i].weight, kFlows / 100);
  }
}

// Sequential flow hashes spread like random ones.
TEST(Choose, SpreadsPoorHashes) {
  const std::vector<NextHop> hops = {hop(1), hop(2), hop(3), hop(4)};
  std::vector<int> count(4);
  for (std::uint64_t i = 0; i < 8000; ++i) ++count[choose_hop(hops, i)];
  for (const int c : count) EXPECT_NEAR(c, 2000, 250);
}

TEST(Choose, LosingAHopMovesOnlyItsFlows) {
  const std::vector<NextHop> all = {hop(1), hop(2, 3), hop(3), hop(4, 2)};
  std::vector<NextHop> less = {all[3], all[0], all[1]};  // without 3, another order
  Random r(3);
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t flow = r();
    const NextHop& before = all[choose_hop(all, flow)];
    const NextHop& after = less[choose_hop(less, flow)];
    if (!(before == all[2])) {
      ASSERT_EQ(before, after);
    }
  }
}

TEST(Choose, OneHopTakesAll) {
  const std::vector<NextHop> hops = {hop(9)};
  for (std::uint64_t i = 0; i < 10; ++i) EXPECT_EQ(choose_hop(hops, i), 0u);
}

}  // namespace
}  // namespace dvr::test
