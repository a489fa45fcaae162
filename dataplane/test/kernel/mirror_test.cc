// The Mirror against a slow model of the kernel's rules: after any deltas, faults and foreign
// changes, once it has had its way the kernel is as it should be; and on the way no prefix that
// is to have a route is without one.
#include "sinks/kernel/mirror.h"

#include <gtest/gtest.h>

#include <random>

#include "test/kernel/world.h"

namespace dvr::kernel::test {
namespace {

using Random = std::mt19937_64;

// DVR_SEEDS multiplies how many walks each test makes.
std::uint64_t seeds(std::uint64_t few) {
  const char* const many = std::getenv("DVR_SEEDS");
  return many == nullptr ? few : few * std::strtoul(many, nullptr, 10);
}

// A table that a random walk changes.
class Walk {
 public:
  Walk(World& world, std::uint64_t seed) : world_(world), random_(seed) {}

  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }

  std::vector<std::string> some_hops() {
    switch (below(12)) {
      case 0:
        return {"blackhole"};
      case 1:
        return {"unreachable"};
      case 2:
        return {"prohibit"};
      default:
        break;
    }
    std::set<std::string> texts;
    for (std::size_t n = 1 + below(4); n > 0; --n) {
      const std::string last = std::to_string(1 + below(9));  // 8 and 9 are on no link
      std::string text = below(2) == 0 ? "10.0.0." + last : "fd00::" + last;
      if (below(3) == 0) text += "%w" + std::to_string(2 + below(4));  // w5 is none
      if (below(3) == 0) text += "*" + std::to_string(1 + below(300));
      texts.insert(text);
    }
    return {texts.begin(), texts.end()};
  }
  std::string some_prefix() {
    if (below(3) == 0) return "2001:db8:" + std::to_string(below(40)) + "::/48";
    return "10." + std::to_string(below(120)) + ".0.0/16";
  }

  // One delta, its changes in the protocol's order.
  void delta() {
    Controller& c = world_.controller;
    const bool full = below(10) == 0;
    c.begin(full ? DeltaKind::kFull : DeltaKind::kIncremental);
    if (full) {
      prefixes_.clear();
      groups_.clear();
    }
    for (std::size_t n = below(3) + (groups_.empty() ? 1 : 0); n > 0; --n) change_group();
    if (full) {
      for (const auto& [n, hops] : groups_) c.group(n, hops);
    }
    for (std::size_t n = below(full ? 80 : 12); n > 0; --n) {
      const std::string p = some_prefix();
      prefixes_[p] = some_group();
      c.set(p, prefixes_[p]);
    }
    for (std::size_t n = below(6); n > 0 && !full; --n) {
      const std::string p = some_prefix();
      if (prefixes_.erase(p) > 0) c.remove(p);
    }
    if (!full && below(6) == 0) {
      const std::uint32_t n = some_group();
      groups_.erase(n);
      std::erase_if(prefixes_, [n](const auto& p) { return p.second == n; });
      c.withdraw(n);
    }
    c.end();
    if (below(2) == 0) c.drain();
  }

  void change_group() {
    const auto n = static_cast<std::uint32_t>(below(9));
    std::vector<std::string> hops = some_hops();
    const auto known = groups_.find(n);
    // Often a next hop only comes or goes, and often everywhere.
    if (known != groups_.end() && known->second.size() > 1 && below(2) == 0) {
      hops = known->second;
      hops.erase(hops.begin() + static_cast<std::ptrdiff_t>(below(hops.size())));
    }
    groups_[n] = hops;
    world_.controller.group(n, hops);
  }

  std::uint32_t some_group() {
    auto at = groups_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(below(groups_.size())));
    return at->first;
  }

  // Somebody or something else changes the kernel; told: the sink hears of it.
  void foreign(bool told) {
    KernelModel& k = world_.kernel;
    Mirror& m = *world_.mirror;
    const auto some_route = [&] {
      auto at = k.table.begin();
      std::advance(at, static_cast<std::ptrdiff_t>(below(k.table.size())));
      return at;
    };
    switch (below(8)) {
      case 0:
      case 1: {
        if (k.table.empty()) return;
        const auto at = some_route();
        const RouteFact fact = k.fact(at->first, at->second);
        k.table.erase(at);
        if (told) m.route_removed(fact, "removed by a test");
        break;
      }
      case 2: {
        if (k.table.empty() || !told) return;  // unseen, it would be taken for foreign
        const auto at = some_route();
        if (at->second.protocol != kProtocol) return;
        at->second = {4, RouteType::kGroup, 0};
        m.route_replaced(k.fact(at->first, at->second), "replaced by a test");
        break;
      }
      case 3: {
        if (k.objects.empty()) return;
        auto at = k.objects.begin();
        std::advance(at, static_cast<std::ptrdiff_t>(below(k.objects.size())));
        k.remove_object(at->first);
        if (told) m.set_nexthops(k.nexthops(), "removed by a test");
        break;
      }
      case 4: {
        const auto i = static_cast<std::uint32_t>(2 + below(3));
        if (k.usable.contains(i)) {
          k.down(i);
        } else {
          k.up(i);
        }
        if (!told) return;
        world_.tell_links();
        m.set_nexthops(k.nexthops(), "an interface changed");
        m.retry();
        break;
      }
      case 5: {
        // A foreign route at a free place, ours or its own metric.
        const Prefix p = parse_prefix(some_prefix()).value();
        k.table.try_emplace({p, below(2) == 0 ? kMetric : 5}, ModelRoute{4, RouteType::kGroup, 0});
        break;
      }
      case 6: {
        // A next hop is made another one, in all groups that hold it.
        for (auto& [id, o] : k.objects) {
          if (o.group || o.member.gateway.family == 0 || below(3) != 0) continue;
          o.member.gateway.bits ^= 0xff;
          break;
        }
        if (told) m.set_nexthops(k.nexthops(), "changed by a test");
        break;
      }
      default: {
        // A group is changed behind our back.
        for (auto& [id, o] : k.objects) {
          if (!o.group || o.entries.size() < 2 || below(3) != 0) continue;
          o.entries.pop_back();
          break;
        }
        if (told) m.set_nexthops(k.nexthops(), "changed by a test");
      }
    }
  }

  void clear_foreign() {
    std::erase_if(world_.kernel.table,
                  [](const auto& r) { return r.second.protocol != kProtocol; });
  }

  World& world_;
  Random random_;
  std::map<std::string, std::uint32_t> prefixes_;
  std::map<std::uint32_t, std::vector<std::string>> groups_;
};

TEST(MirrorTest, DeltasAloneAreRightAtTheirEnd) {
  for (std::uint64_t seed = 1; seed < 1 + seeds(60) && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world;
    Walk walk(world, seed);
    for (int i = 0; i < 60 && !testing::Test::HasFailure(); ++i) {
      SCOPED_TRACE("delta " + std::to_string(i));
      walk.delta();
      world.work();
      world.check();
    }
    world.mirror->begin_audit();
    for (const RouteFact& r : world.kernel.our_routes()) world.mirror->audit(r);
    world.mirror->end_audit(true);
    EXPECT_TRUE(world.mirror->take_restorations().empty()) << "its own idea was wrong";
  }
}

// While a delta is applied, a prefix that has a route before and is to have one after always
// has one: additions come before removals, changes are one step.
TEST(MirrorTest, NoPrefixIsWithoutARouteDuringAChange) {
  std::uint64_t looked = 0;
  for (std::uint64_t seed = 100; seed < 100 + seeds(31) && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world;
    Walk walk(world, seed);
    for (int i = 0; i < 40; ++i) {
      std::set<Prefix, PrefixOrder> before;
      for (const auto& [key, r] : world.kernel.table) before.insert(key.first);
      std::vector<std::set<Prefix, PrefixOrder>> states;
      world.kernel.changed = [&] {
        std::set<Prefix, PrefixOrder> now;
        for (const auto& [key, r] : world.kernel.table) now.insert(key.first);
        states.push_back(std::move(now));
      };
      std::map<std::string, std::uint32_t> was = walk.prefixes_;
      const auto groups_before = walk.groups_;
      walk.delta();
      world.work();
      world.kernel.changed = [] {};
      // A class that was withdrawn, or has no usable next hop in between, is no prefix's route.
      for (const auto& [text, n] : walk.prefixes_) {
        const Prefix p = parse_prefix(text).value();
        if (!was.contains(text) || was[text] != n || !before.contains(p)) continue;
        const auto known = groups_before.find(n);
        if (known == groups_before.end() || walk.groups_.at(n) != known->second) continue;
        if (!world.kernel.table.contains({p, kMetric})) continue;
        for (const auto& state : states) {
          ++looked;
          ASSERT_TRUE(state.contains(p)) << text << " lost its route at delta " << i;
        }
      }
    }
  }
  EXPECT_GT(looked, 10000u);
}

TEST(MirrorTest, ForeignChangesThatAreToldAreRepaired) {
  std::uint64_t restored = 0;
  for (std::uint64_t seed = 200; seed < 200 + seeds(61) && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world;
    Walk walk(world, seed);
    for (int i = 0; i < 60 && !testing::Test::HasFailure(); ++i) {
      SCOPED_TRACE("step " + std::to_string(i));
      if (walk.below(2) == 0) {
        walk.delta();
      } else {
        walk.foreign(true);
      }
      if (walk.below(3) == 0) world.mirror->work(walk.below(5));
    }
    walk.clear_foreign();
    world.work();
    if (world.mirror->doubts_nexthops()) {
      world.mirror->set_nexthops(world.kernel.nexthops(), "doubts");
    }
    if (world.mirror->doubts_routes()) world.audit();
    world.mirror->retry();
    world.work();
    world.mirror->settle(true);
    world.check();
    for (const Restoration& r : world.mirror->take_restorations()) restored += r.count;
  }
  EXPECT_GT(restored, 500u);
}

TEST(MirrorTest, WhatNobodyToldIsFoundByAComparison) {
  for (std::uint64_t seed = 300; seed < 300 + seeds(61) && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world;
    Walk walk(world, seed);
    for (int i = 0; i < 50; ++i) {
      if (walk.below(2) == 0) {
        walk.delta();
      } else {
        walk.foreign(false);
      }
      if (walk.below(10) != 0) continue;
      SCOPED_TRACE("step " + std::to_string(i));
      world.resync();
      world.resync();
      world.check();
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(MirrorTest, ARestartAdoptsAndEndsRight) {
  for (std::uint64_t seed = 400; seed < 400 + seeds(61) && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world;
    Walk walk(world, seed);
    for (int i = 0; i < 40 && !testing::Test::HasFailure(); ++i) {
      SCOPED_TRACE("step " + std::to_string(i));
      walk.delta();
      if (walk.below(4) != 0) continue;
      if (walk.below(2) == 0) walk.foreign(false);
      const auto before = world.kernel.table;
      std::set<Prefix, PrefixOrder> had;
      for (const auto& [key, r] : before) had.insert(key.first);
      world.start();
      // Nothing that was there is touched before a controller was heard.
      for (const auto& [key, r] : before) {
        const auto now = world.kernel.table.find(key);
        ASSERT_FALSE(now == world.kernel.table.end()) << to_string(key.first) << " was removed";
        EXPECT_TRUE(now->second == r) << to_string(key.first) << " was changed";
      }
      walk.clear_foreign();
      walk.delta();
      world.work();
      world.resync();
      world.check();
    }
  }
}

TEST(MirrorTest, ARestartThatFindsAllRightChangesNothing) {
  std::uint64_t adopted = 0;
  for (std::uint64_t seed = 600; seed < 600 + seeds(41) && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world;
    for (const char* last : {"8", "9"}) {
      world.kernel.on_link[std::string("10.0.0.") + last] = 2;
      world.kernel.on_link[std::string("fd00::") + last] = 3;
    }
    Walk walk(world, seed);
    for (int i = 0; i < 20 && !testing::Test::HasFailure(); ++i) {
      SCOPED_TRACE("step " + std::to_string(i));
      walk.delta();
      world.controller.drain();
      world.work();
      world.controller.begin().end();  // what has drained leaves
      const SinkReport before = world.mirror->report();
      if (before.failed > 0 || before.deviates) continue;
      // A group that the last route has left may go, and nothing else happen.
      const auto routes = world.kernel.table;
      const std::uint64_t operations = world.kernel.operations;
      world.start();
      world.work();
      // Before a controller was heard, and after.
      EXPECT_EQ(world.mirror->report().failed, before.failed);
      EXPECT_EQ(world.mirror->report().entries, before.entries);
      world.controller.begin().end();
      EXPECT_EQ(world.kernel.operations, operations);
      EXPECT_TRUE(world.kernel.table == routes);
      adopted += world.mirror->report().entries;
      EXPECT_EQ(world.mirror->report().installed, before.installed);
      EXPECT_EQ(world.mirror->report().repaired, 0u);
    }
  }
  EXPECT_GT(adopted, 300u);
}

TEST(MirrorTest, RefusalsAreCountedAndTriedAgain) {
  for (std::uint64_t seed = 500; seed < 500 + seeds(41) && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world;
    Walk walk(world, seed);
    for (int i = 0; i < 30; ++i) {
      world.kernel.refuses = [&] { return walk.below(5) == 0; };
      world.kernel.refuses_replacement = [&] { return walk.below(3) == 0; };
      world.kernel.refuses_removal = [&] { return walk.below(4) == 0; };
      for (int n = 0; n < 3; ++n) {
        walk.delta();
        // Else a class may be unknown, and its route be told as of none.
        if (walk.below(3) != 0) world.check_installed();
      }
      world.kernel.refuses = world.kernel.refuses_replacement =
          world.kernel.refuses_removal = [] { return false; };
      world.work();
      world.resync();
      world.check();
      if (testing::Test::HasFailure()) return;
    }
  }
}

// The order of what is restored after everything was lost.
TEST(MirrorTest, ShortPrefixesComeFirst) {
  World world;
  Controller& c = world.controller;
  c.begin(DeltaKind::kFull).group(1, {"10.0.0.1"}).group(2, {"fd00::1"});
  for (const char* p : {"10.1.2.0/24", "0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16"}) c.set(p, 1);
  c.set("2001:db8::/32", 2).set("::/0", 2).end();
  world.kernel.down(2);
  world.kernel.down(3);
  world.kernel.up(2);
  world.kernel.up(3);
  world.mirror->set_nexthops(world.kernel.nexthops(), "interfaces flapped");
  std::vector<int> lengths;
  std::set<Prefix, PrefixOrder> seen;
  world.kernel.changed = [&] {
    for (const auto& [key, r] : world.kernel.table) {
      if (seen.insert(key.first).second) lengths.push_back(key.first.length);
    }
  };
  world.work();
  EXPECT_EQ(lengths, (std::vector<int>{0, 0, 8, 16, 24, 32}));
  const auto told = world.mirror->take_restorations();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].cause, "interfaces flapped");
  EXPECT_EQ(told[0].count, 6u);
  EXPECT_EQ(told[0].prefix.length, 0);
  EXPECT_EQ(world.mirror->report().repaired, 6u);
}

TEST(MirrorTest, NextHopsThatSomebodyChangedAreSetRightAndTold) {
  World world;
  Controller& c = world.controller;
  c.begin(DeltaKind::kFull).group(1, {"10.0.0.1", "10.0.0.2"}).group(2, {"fd00::1"});
  c.set("10.0.0.0/8", 1).set("10.1.0.0/16", 1).set("2001:db8::/32", 2).end();
  const auto told = [&] {
    std::string all;
    for (const Restoration& r : world.mirror->take_restorations()) {
      all += to_string(r.prefix) + " " + std::to_string(r.count) + " " + r.cause + "\n";
    }
    return all;
  };
  // A next hop is another one now, then a group has another weight, then one next hop less.
  for (auto& [id, o] : world.kernel.objects) {
    if (!o.group && to_string(o.member.gateway) == "10.0.0.2") {
      o.member.gateway = parse_address("10.0.0.7").value();
    }
  }
  world.mirror->set_nexthops(world.kernel.nexthops(), "somebody");
  world.work();
  EXPECT_EQ(told(), "10.0.0.0/8 2 somebody\n");
  world.check();
  for (auto& [id, o] : world.kernel.objects) {
    if (o.group) o.entries.back().weight = 9;
  }
  world.mirror->set_nexthops(world.kernel.nexthops(), "somebody else");
  world.work();
  EXPECT_EQ(told(), "10.0.0.0/8 3 somebody else\n");
  world.check();
  for (auto& [id, o] : world.kernel.objects) {
    if (o.group && o.entries.size() > 1) o.entries.pop_back();
  }
  world.mirror->set_nexthops(world.kernel.nexthops(), "a third one");
  world.work();
  EXPECT_EQ(told(), "10.0.0.0/8 2 a third one\n");
  world.check();
  EXPECT_EQ(world.mirror->report().repaired, 7u);
  // What the kernel does itself because a link is down is no foreign change.
  world.kernel.down(3);
  world.tell_links();
  world.mirror->set_nexthops(world.kernel.nexthops(), "a link");
  world.work();
  EXPECT_EQ(world.mirror->report().repaired, 7u);
  world.check();
}

TEST(MirrorTest, FindingsAreWhatAnAuditMet) {
  World world;
  Controller& c = world.controller;
  c.begin(DeltaKind::kFull).group(1, {"10.0.0.1"}).group(2, {"10.0.0.2"});
  for (int i = 0; i < 10; ++i) c.set("10." + std::to_string(i) + ".0.0/16", 1);
  c.set("10.0.0.0/8", 2).end();
  const auto route = [&](const std::string& text, std::uint32_t metric = kMetric) {
    return KernelModel::Key{parse_prefix(text).value(), metric};
  };
  world.audit();
  EXPECT_EQ(world.mirror->findings().routes, 11u);
  EXPECT_TRUE(world.mirror->findings().differences.empty());
  const ModelRoute two = world.kernel.table.at(route("10.0.0.0/8"));
  world.kernel.table.erase(route("10.3.0.0/16"));
  world.kernel.table.erase(route("10.0.0.0/8"));
  world.kernel.table[route("10.5.0.0/16")] = two;
  world.kernel.table[route("192.0.2.0/24")] = two;
  world.kernel.table[route("198.51.100.0/24", 71)] = two;
  world.audit();
  std::map<std::string, std::string> found;
  for (const Restoration& d : world.mirror->findings().differences) {
    found[d.cause] = to_string(d.prefix) + " " + std::to_string(d.count);
  }
  EXPECT_EQ(found, (std::map<std::string, std::string>{
                       {"lost unseen, found by an audit", "10.0.0.0/8 2"},
                       {"changed unseen, found by an audit", "10.5.0.0/16 1"},
                       {"left over", "192.0.2.0/24 1"},
                       {"left over, with another metric", "198.51.100.0/24 1"}}));
  EXPECT_EQ(world.mirror->findings().routes, 11u);
  world.work();
  world.check();
  world.audit();
  EXPECT_TRUE(world.mirror->findings().differences.empty());
}

TEST(MirrorTest, ANextHopThatDoesNotAnswerLeavesGroupsThatHaveAnother) {
  World world;
  Controller& c = world.controller;
  c.begin(DeltaKind::kFull).group(1, {"10.0.0.1", "10.0.0.2"}).group(2, {"10.0.0.1%w2"});
  c.group(3, {"fd00::1", "10.0.0.1", "unreachable"}).group(4, {"10.0.0.1%w3", "10.0.0.2"});
  c.set("10.1.0.0/16", 1).set("10.2.0.0/16", 2).set("10.4.0.0/16", 4).end();
  const auto way = [&](const char* prefix) {
    return world.kernel.way(world.kernel.table.at({parse_prefix(prefix).value(), kMetric}));
  };
  const Digest whole = world.mirror->report().installed;
  const std::pair<Neighbour, bool> dead{{2, parse_address("10.0.0.1").value()}, false};
  EXPECT_TRUE(world.mirror->neighbours().contains(dead.first));
  std::size_t changes = 0;
  world.kernel.changed = [&] { ++changes; };
  world.mirror->set_alive({&dead, 1});
  EXPECT_EQ(way("10.1.0.0/16"), "10.0.0.2@2*1 ");
  EXPECT_EQ(way("10.2.0.0/16"), "10.0.0.1@2*1 ") << "it has no other";
  EXPECT_EQ(way("10.4.0.0/16"), "10.0.0.1@3*1 10.0.0.2@2*1 ") << "that is another interface";
  EXPECT_TRUE(world.mirror->deviates());
  EXPECT_EQ(world.mirror->report().failed, 0u);
  EXPECT_NE(world.mirror->report().installed, whole);
  EXPECT_LE(changes, 2u);
  world.mirror->set_alive({&dead, 1});
  EXPECT_LE(changes, 2u) << "that is known";
  world.mirror->retry();
  world.mirror->set_nexthops(world.kernel.nexthops(), "a look");
  EXPECT_EQ(way("10.1.0.0/16"), "10.0.0.2@2*1 ");
  // A new class that would use it, and the last one that answers dies.
  c.begin().group(5, {"10.0.0.1", "10.0.0.3"}).set("10.5.0.0/16", 5).end();
  EXPECT_EQ(way("10.5.0.0/16"), "10.0.0.3@2*1 ");
  const std::pair<Neighbour, bool> other{{2, parse_address("10.0.0.2").value()}, false};
  world.mirror->set_alive({&other, 1});
  EXPECT_EQ(way("10.1.0.0/16"), "10.0.0.1@2*1 10.0.0.2@2*1 ") << "nobody answers: all are tried";
  const std::pair<Neighbour, bool> back[] = {{dead.first, true}, {other.first, true}};
  world.mirror->set_alive(back);
  world.work();
  EXPECT_FALSE(world.mirror->deviates());
  world.check();
  EXPECT_EQ(world.mirror->report().installed, world.fib.digest());
}

// What a fail-over costs: operations, whatever the number of classes and prefixes.
TEST(MirrorTest, ADeadNextHopIsOneRemoval) {
  World world;
  Controller& c = world.controller;
  c.begin(DeltaKind::kFull);
  for (std::uint32_t n = 1; n <= 50; ++n) {
    c.group(n, {"fd00::1", "fd00::2", "10.0.0." + std::to_string(1 + n % 3)});
    c.set("2001:db8:" + std::to_string(n) + "::/48", n);
    c.set("10." + std::to_string(n) + ".0.0/16", n);
  }
  c.end();
  world.check();
  std::size_t changes = 0;
  world.kernel.changed = [&] { ++changes; };
  c.begin();
  for (std::uint32_t n = 1; n <= 50; ++n) {
    c.group(n, {"fd00::2", "10.0.0." + std::to_string(1 + n % 3)});
  }
  c.end();
  EXPECT_EQ(changes, 1u);
  world.check();
}

}  // namespace
}  // namespace dvr::kernel::test
