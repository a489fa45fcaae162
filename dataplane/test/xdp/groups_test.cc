// Groups in memory without a kernel: which next hop a packet meets, and what changes when.
#include "sinks/xdp/groups.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "sinks/xdp/buckets.h"
#include "sinks/xdp/others.h"
#include "test/kernel/scene.h"

namespace dvr::xdp::test {
namespace {

using kernel::test::hops;

Mac mac(std::uint8_t n) { return {2, 0, 0, 0, 0, n}; }

// What becomes of packets: a verdict and reason, or next hops by the share of their buckets.
struct Outcome {
  std::uint32_t action = 0, reason = 0;
  std::map<std::string, double> shares;  // by the last byte of the MAC; "-": not resolved
};

class XdpGroupsTest : public testing::Test {
 protected:
  XdpGroupsTest()
      : bytes_(1 << 20),
        words_(64),
        nexthops_(64),
        pool_(bytes_.data(), bytes_.size(), [this] { ++graces_; }),
        slots_(64, [this] { ++graces_; }),
        groups_({"w0", "w1", "w2"}) {
    link(1, "w0");
    link(2, "w1");
    link(3, "w2");
    link(4, "x");  // not ours
    groups_.render({words_.data(), 64, nexthops_.data(), &slots_, &pool_});
  }

  void link(std::uint32_t index, const std::string& name, bool up = true,
            std::uint32_t mtu = 1500) {
    groups_.set_link(
        {index, false, name, up, true, mac(static_cast<std::uint8_t>(100 + index)), mtu});
  }
  void neighbour(std::uint32_t interface, const char* address, std::uint8_t n,
                 NeighbourFact::State state = NeighbourFact::State::kResolved) {
    groups_.set_neighbour({{interface, parse_address(address).value()}, state, false, mac(n)});
  }
  void set(std::uint32_t id, const std::vector<std::string>& texts) {
    groups_.set(id, hops(texts));
  }

  [[nodiscard]] const dvr_nexthop& nexthop(std::uint32_t slot) const { return nexthops_[slot]; }
  [[nodiscard]] std::string name(std::uint32_t slot) const {
    return slot == 0 ? "-" : std::to_string(nexthops_[slot].mac0 >> 40 & 0xff);
  }
  [[nodiscard]] Outcome look(std::uint32_t id) const {
    const std::uint64_t word = words_[id + 1];
    Outcome out;
    out.action = static_cast<std::uint32_t>(word >> DVR_ACTION_SHIFT);
    out.reason = static_cast<std::uint32_t>(word >> DVR_REASON_SHIFT & 0xff);
    const auto index = static_cast<std::uint32_t>(word);
    if (out.action == DVR_ONE) out.shares[name(index)] = 1;
    if (out.action == DVR_MANY) {
      const std::size_t n = std::size_t{1} << (word >> DVR_BUCKETS_SHIFT & 15);
      for (std::size_t i = 0; i < n; ++i) {
        std::uint32_t slot;
        std::memcpy(&slot, pool_.at(index) + i * 4, 4);
        out.shares[name(slot)] += 1.0 / static_cast<double>(n);
      }
    }
    return out;
  }

  int graces_ = 0;
  std::vector<std::uint8_t> bytes_;
  std::vector<std::uint64_t> words_;
  std::vector<dvr_nexthop> nexthops_;
  Pool pool_;
  Slots slots_;
  Groups groups_;
};

TEST_F(XdpGroupsTest, TypesAreActions) {
  set(1, {"blackhole"});
  set(2, {"unreachable"});
  set(3, {"prohibit"});
  groups_.set(4, {});
  EXPECT_EQ(look(1).action, DVR_DROP);
  EXPECT_EQ(look(1).reason, DVR_DROP_BLACKHOLE);
  EXPECT_EQ(look(2).action, DVR_PASS);
  EXPECT_EQ(look(2).reason, DVR_PASS_UNREACHABLE);
  EXPECT_EQ(look(3).reason, DVR_PASS_UNREACHABLE);
  EXPECT_EQ(look(4).action, DVR_DROP);
  EXPECT_EQ(look(4).reason, DVR_DROP_WITHDRAWN);
}

TEST_F(XdpGroupsTest, ANextHopIsUsedOnceItIsResolved) {
  set(1, {"10.0.0.2%w0"});
  EXPECT_EQ(look(1).reason, DVR_PASS_UNRESOLVED);
  ASSERT_EQ(groups_.wanted().size(), 1u);
  neighbour(1, "10.0.0.2", 7);
  groups_.refresh();
  const Outcome now = look(1);
  EXPECT_EQ(now.shares.at("7"), 1);
  const dvr_nexthop& n = nexthop(static_cast<std::uint32_t>(words_[2]));
  EXPECT_EQ(n.mtu, 1500u);
  EXPECT_EQ(n.port, 0u);
  EXPECT_EQ(n.mac1 >> 24, 101u);  // its own address is the link's
  neighbour(1, "10.0.0.2", 7, NeighbourFact::State::kUnknown);
  groups_.refresh();
  EXPECT_EQ(look(1).reason, DVR_PASS_UNRESOLVED);
}

TEST_F(XdpGroupsTest, AChangedNeighbourIsANewRecord) {
  neighbour(1, "10.0.0.2", 7);
  neighbour(2, "10.0.1.2", 8);
  set(1, {"10.0.0.2%w0"});
  set(2, {"10.0.0.2%w0", "10.0.1.2%w1"});
  groups_.refresh();
  const auto before = static_cast<std::uint32_t>(words_[2]);
  const dvr_nexthop was = nexthop(before);
  neighbour(1, "10.0.0.2", 9);
  groups_.refresh();
  EXPECT_EQ(look(1).shares.at("9"), 1);
  EXPECT_DOUBLE_EQ(look(2).shares.at("9"), 0.5);
  EXPECT_EQ(look(2).shares.count("7"), 0u);
  // Who still has the old number finds what was there.
  EXPECT_NE(static_cast<std::uint32_t>(words_[2]), before);
  EXPECT_EQ(std::memcmp(&nexthops_[before], &was, sizeof was), 0);
  EXPECT_EQ(slots_.take_retired(), std::vector<std::uint32_t>{before});
  // Nothing new: nothing is written.
  const auto words = words_;
  groups_.refresh();
  EXPECT_EQ(words_, words);
}

TEST_F(XdpGroupsTest, SharesFollowWeights) {
  for (std::uint8_t n = 0; n < 3; ++n)
    neighbour(n + 1u, ("10.0." + std::to_string(n) + ".2").c_str(), n);
  set(1, {"10.0.0.2%w0*1", "10.0.1.2%w1*2", "10.0.2.2%w2*5"});
  const Outcome o = look(1);
  EXPECT_NEAR(o.shares.at("0"), 1.0 / 8, 0.01);
  EXPECT_NEAR(o.shares.at("1"), 2.0 / 8, 0.01);
  EXPECT_NEAR(o.shares.at("2"), 5.0 / 8, 0.01);
}

TEST_F(XdpGroupsTest, WhatCannotBeUsedLeavesTheGroup) {
  neighbour(1, "10.0.0.2", 1);
  neighbour(2, "10.0.1.2", 2);
  set(1, {"10.0.0.2%w0", "10.0.1.2%w1"});
  EXPECT_EQ(look(1).action, DVR_MANY);
  link(2, "w1", false);
  groups_.refresh();
  EXPECT_EQ(look(1).shares.at("1"), 1);
  link(2, "w1");
  groups_.refresh();
  EXPECT_DOUBLE_EQ(look(1).shares.at("2"), 0.5);
  neighbour(2, "10.0.1.2", 0, NeighbourFact::State::kFailed);
  groups_.refresh();
  EXPECT_EQ(look(1).shares.at("1"), 1);
  // The last one too: the kernel may know better.
  groups_.set_link({1, true, "w0", false, true, {}, 0});
  groups_.refresh();
  EXPECT_EQ(look(1).action, DVR_PASS);
  EXPECT_EQ(look(1).reason, DVR_PASS_UNRESOLVED);
}

TEST_F(XdpGroupsTest, WhatIsNotOursKeepsItsShareForTheKernel) {
  neighbour(1, "10.0.0.2", 1);
  neighbour(4, "10.0.3.2", 4);
  set(1, {"10.0.0.2%w0", "10.0.3.2%x"});
  EXPECT_DOUBLE_EQ(look(1).shares.at("1"), 0.5);
  EXPECT_DOUBLE_EQ(look(1).shares.at("-"), 0.5);
  set(2, {"10.0.3.2%x"});
  EXPECT_EQ(look(2).reason, DVR_PASS_UNRESOLVED);
}

TEST_F(XdpGroupsTest, AnAddressIsLookedForOnTheLinks) {
  neighbour(2, "10.0.1.2", 2);
  set(1, {"10.0.1.2"});
  EXPECT_EQ(look(1).reason, DVR_PASS_UNRESOLVED);
  groups_.set_direct(parse_prefix("10.0.0.0/8").value(), 1);
  groups_.set_direct(parse_prefix("10.0.1.0/24").value(), 2);
  groups_.refresh();
  EXPECT_EQ(look(1).shares.at("2"), 1);
  groups_.set_direct(parse_prefix("10.0.1.0/24").value(), 0);
  groups_.refresh();
  EXPECT_EQ(look(1).reason, DVR_PASS_UNRESOLVED);
  // The last link that a prefix is said to be on is it.
  groups_.set_direct(parse_prefix("10.0.1.0/24").value(), 1);
  groups_.set_direct(parse_prefix("10.0.1.0/24").value(), 2);
  groups_.refresh();
  EXPECT_EQ(look(1).shares.at("2"), 1);
}

TEST_F(XdpGroupsTest, ALookTakesAwayWhatItDidNotMeet) {
  neighbour(1, "10.0.0.2", 1);
  neighbour(2, "10.0.1.2", 2);
  neighbour(3, "10.0.2.2", 3);
  set(1, {"10.0.0.2%w0", "10.0.1.2%w1", "10.0.2.2%w2"});
  groups_.refresh();
  const auto words = words_;
  const auto unchanged = [&] {
    groups_.refresh();
    return words_ == words && groups_.links().size() == 4;
  };
  // Until its end nothing goes, nor does anything if it fails.
  groups_.begin();
  EXPECT_TRUE(unchanged());
  link(1, "w0");
  link(2, "w1");
  EXPECT_TRUE(unchanged());
  groups_.begin();
  EXPECT_TRUE(unchanged());
  link(1, "w0");
  link(3, "w2");
  link(4, "x");
  neighbour(1, "10.0.0.2", 1);
  EXPECT_TRUE(unchanged());
  // A link and a neighbour were not met, another neighbour goes by itself meanwhile.
  neighbour(2, "10.0.1.2", 2, NeighbourFact::State::kUnknown);
  groups_.end();
  groups_.refresh();
  EXPECT_EQ(groups_.links().size(), 3u);
  EXPECT_EQ(groups_.links().count(2), 0u);
  EXPECT_DOUBLE_EQ(look(1).shares.at("1"), 0.5);
  EXPECT_DOUBLE_EQ(look(1).shares.at("-"), 0.5);
  // Its name is another's by now.
  groups_.begin();
  link(1, "w0");
  link(9, "w2");
  link(4, "x");
  neighbour(9, "10.0.2.2", 9);
  neighbour(1, "10.0.0.2", 1);
  groups_.end();
  groups_.refresh();
  EXPECT_DOUBLE_EQ(look(1).shares.at("9"), 0.5);
  // All is there: nothing moves.
  const auto before = words_;
  groups_.begin();
  link(4, "x");
  link(9, "w2");
  link(1, "w0");
  neighbour(1, "10.0.0.2", 1);
  neighbour(9, "10.0.2.2", 9);
  groups_.end();
  groups_.refresh();
  EXPECT_EQ(words_, before);
}

TEST_F(XdpGroupsTest, MemoryComesBack) {
  for (std::uint8_t n = 0; n < 3; ++n)
    neighbour(n + 1u, ("10.0." + std::to_string(n) + ".2").c_str(), n);
  for (int i = 0; i < 200; ++i) {
    set(1, {"10.0.0.2%w0", "10.0.1.2%w1*" + std::to_string(i % 7 + 1)});
    neighbour(1, "10.0.0.2", static_cast<std::uint8_t>(i));
    groups_.refresh();
    ASSERT_FALSE(groups_.overflowed());
  }
  groups_.release(1);
  groups_.refresh();
  pool_.give_back(pool_.take_retired());
  EXPECT_EQ(pool_.used(), 0u);
  EXPECT_EQ(look(1).action, DVR_PASS);
  EXPECT_TRUE(groups_.wanted().empty());
}

TEST_F(XdpGroupsTest, WhatHasNoRoomIsTold) {
  EXPECT_FALSE(groups_.overflowed());
  set(63, {"10.0.0.2%w0"});
  EXPECT_TRUE(groups_.overflowed());
  std::vector<std::uint64_t> more(256);
  groups_.render({more.data(), 256, nexthops_.data(), &slots_, &pool_});
  EXPECT_FALSE(groups_.overflowed());
  EXPECT_EQ(more[64] >> DVR_REASON_SHIFT & 0xff, DVR_PASS_UNRESOLVED);
}

TEST(XdpBucketsTest, FewFlowsMoveWhenAMemberGoes) {
  for (std::size_t n = 2; n <= 64; n = n * 2 + 1) {
    std::vector<Member> members;
    for (std::size_t i = 0; i < n; ++i)
      members.push_back({i * 77 + 5, static_cast<std::uint16_t>(1 + i % 3)});
    const int bits = bucket_bits(64);
    const auto before = deal(members, bits);
    std::vector<Member> rest(members.begin() + 1, members.end());
    const auto after = deal(rest, bits);
    std::size_t moved = 0, lost = 0;
    for (std::size_t b = 0; b < before.size(); ++b) {
      lost += before[b] == 0 ? 1 : 0;
      moved += before[b] != 0 && after[b] + 1 != before[b] ? 1 : 0;
    }
    EXPECT_GT(lost, 0u);
    EXPECT_LT(moved, before.size() / 8) << n;
    // In another order the same.
    std::reverse(members.begin(), members.end());
    const auto turned = deal(members, bits);
    for (std::size_t b = 0; b < before.size(); ++b) ASSERT_EQ(n - 1 - turned[b], before[b]);
  }
}

TEST(XdpBucketsTest, EverybodyHasAShare) {
  const std::vector<Member> members{{1, 1}, {2, 65535}, {3, 1}};
  const auto owners = deal(members, 6);
  for (std::uint8_t m = 0; m < 3; ++m) {
    EXPECT_EQ(std::count(owners.begin(), owners.end(), m), m == 1 ? 62 : 1);
  }
}

class XdpOthersTest : public testing::Test {
 protected:
  using Told = std::vector<std::string>;

  static RouteFact fact(const char* prefix, std::uint32_t table, std::uint32_t metric,
                        std::uint32_t interface = 0, const char* gateway = nullptr) {
    RouteFact r;
    r.prefix = parse_prefix(prefix).value();
    r.table = table;
    r.metric = metric;
    r.interface = interface;
    if (gateway != nullptr) r.gateway = parse_address(gateway).value();
    r.direct = interface != 0 && gateway == nullptr;
    return r;
  }
  Told add(const RouteFact& r) {
    told_.clear();
    known_ = others_.route(r);
    return told_;
  }
  Told replace(RouteFact r) {
    r.replaces = true;
    return add(r);
  }
  Told remove(RouteFact r) {
    r.removed = true;
    return add(r);
  }

  Told told_;
  bool known_ = true;
  Others others_{254, 70,
                 [this](const Prefix& p, Others::Standing s) {
                   told_.push_back(to_string(p) + " " + std::to_string(static_cast<int>(s)));
                 },
                 [this](const Prefix& p, std::uint32_t interface) {
                   told_.push_back(to_string(p) + " on " + std::to_string(interface));
                 }};
};

TEST_F(XdpOthersTest, StandingByTableAndMetric) {
  EXPECT_EQ(add(fact("10.0.0.0/8", 254, 100)), Told{"10.0.0.0/8 1"});
  EXPECT_EQ(add(fact("10.0.0.0/8", 254, 100)), Told{});
  EXPECT_EQ(add(fact("10.0.0.0/8", 254, 10)), Told{"10.0.0.0/8 2"});
  EXPECT_EQ(remove(fact("10.0.0.0/8", 254, 10)), Told{"10.0.0.0/8 1"});
  EXPECT_EQ(add(fact("10.0.0.0/8", 255, 500)), Told{"10.0.0.0/8 2"});
  EXPECT_EQ(remove(fact("10.0.0.0/8", 254, 7)), Told{});  // never heard of
  others_.begin();
  EXPECT_EQ(add(fact("10.0.0.0/8", 254, 100)), Told{});
  others_.end();
  EXPECT_EQ(told_, Told{"10.0.0.0/8 1"});
}

TEST_F(XdpOthersTest, OneThatTakesAnothersPlace) {
  add(fact("10.0.0.0/8", 254, 100, 1, "192.0.2.1"));
  EXPECT_EQ(replace(fact("10.0.0.0/8", 254, 100, 2, "192.0.2.2")), Told{});
  EXPECT_TRUE(known_);
  EXPECT_EQ(remove(fact("10.0.0.0/8", 254, 100, 1, "192.0.2.1")), Told{});
  // Nothing is left of the first.
  EXPECT_EQ(remove(fact("10.0.0.0/8", 254, 100, 2, "192.0.2.2")), Told{"10.0.0.0/8 0"});
  // Another prefix, metric or table is another route.
  add(fact("10.0.0.0/8", 254, 100, 1, "192.0.2.1"));
  replace(fact("10.0.0.0/8", 254, 101, 2, "192.0.2.2"));
  replace(fact("10.0.0.0/8", 253, 100, 2, "192.0.2.2"));
  replace(fact("10.0.0.0/9", 254, 100, 2, "192.0.2.2"));
  EXPECT_TRUE(known_);
  remove(fact("10.0.0.0/8", 254, 101, 2, "192.0.2.2"));
  EXPECT_EQ(remove(fact("10.0.0.0/8", 253, 100, 2, "192.0.2.2")), Told{"10.0.0.0/8 1"});
  EXPECT_EQ(remove(fact("10.0.0.0/8", 254, 100, 1, "192.0.2.1")), Told{"10.0.0.0/8 0"});
  // In the place of itself.
  add(fact("10.0.0.0/8", 254, 100, 1, "192.0.2.1"));
  EXPECT_EQ(replace(fact("10.0.0.0/8", 254, 100, 1, "192.0.2.1")), Told{});
  EXPECT_TRUE(known_);
  // One of two: a look tells.
  add(fact("10.0.0.0/8", 254, 100, 3, "192.0.2.3"));
  EXPECT_TRUE(known_);
  replace(fact("10.0.0.0/8", 254, 100, 2, "192.0.2.2"));
  EXPECT_FALSE(known_);
  others_.begin();
  add(fact("10.0.0.0/8", 254, 100, 3, "192.0.2.3"));
  others_.end();
  EXPECT_EQ(remove(fact("10.0.0.0/8", 254, 100, 3, "192.0.2.3")), Told{"10.0.0.0/8 0"});
}

TEST_F(XdpOthersTest, TheLinkOfAPrefix) {
  const auto on = [&](std::uint32_t interface, std::uint32_t metric = 0,
                      std::uint32_t table = 254) {
    return fact("10.0.0.0/24", table, metric, interface);
  };
  EXPECT_EQ(add(on(1)), (Told{"10.0.0.0/24 2", "10.0.0.0/24 on 1"}));
  EXPECT_EQ(replace(on(2)).back(), "10.0.0.0/24 on 2");
  EXPECT_EQ(replace(on(1)).back(), "10.0.0.0/24 on 1");
  // The lowest metric, and ours before other tables, local before main.
  EXPECT_EQ(add(on(2, 10)).back(), "10.0.0.0/24 on 1");
  EXPECT_EQ(remove(on(1)).back(), "10.0.0.0/24 on 2");
  EXPECT_EQ(add(on(3, 5, 255)).back(), "10.0.0.0/24 on 2");
  EXPECT_EQ(add(on(4, 5, 253)).back(), "10.0.0.0/24 on 2");
  EXPECT_EQ(remove(on(2, 10)).back(), "10.0.0.0/24 on 3");
  EXPECT_EQ(remove(on(3, 5, 255)).back(), "10.0.0.0/24 on 4");
  // It is behind a gateway from now on.
  EXPECT_EQ(replace(fact("10.0.0.0/24", 253, 5, 4, "192.0.2.1")).back(), "10.0.0.0/24 on 0");
  // What a look does not meet goes.
  add(on(1));
  add(on(2, 10));
  others_.begin();
  add(on(2, 10));
  told_.clear();
  others_.end();
  EXPECT_EQ(told_.back(), "10.0.0.0/24 on 2");
}

}  // namespace
}  // namespace dvr::xdp::test
