// What the kernel refuses is a failure with its words, is tried again by retry() and by nothing
// else, and what the Mirror says is installed is what the kernel has meanwhile.
#include "sinks/kernel/reasons.h"
#include "test/kernel/world.h"

namespace dvr::kernel::test {
namespace {

constexpr auto kAlways = [] { return true; };
constexpr auto kNever = [] { return false; };

KernelModel::Key key(const std::string& prefix) { return {parse_prefix(prefix).value(), kMetric}; }

TEST(RefusalTest, AGroupThatIsNotReplacedIsAFailureOfItsPrefixes) {
  World world;
  Controller& c = world.controller;
  c.begin(DeltaKind::kFull).group(1, {"fd00::1%w3"}).group(2, {"10.0.0.3"});
  c.set("10.1.0.0/16", 1).set("10.2.0.0/16", 1).set("2001:db8::/48", 1).set("10.3.0.0/16", 2).end();
  const Digest before = world.mirror->report().installed;
  ASSERT_EQ(before, world.fib.digest());
  world.kernel.refuses_replacement = kAlways;
  c.begin().group(1, {"fd00::2%w3"}).end();
  SinkReport report = world.mirror->report();
  EXPECT_EQ(report.failed, 3u);
  EXPECT_EQ(report.entries, 4u) << "the routes are there as they were";
  EXPECT_EQ(report.installed, before) << "the new group is not what is installed";
  EXPECT_FALSE(report.deviates) << "no next hop is unusable";
  ASSERT_EQ(report.failures.size(), 3u);
  for (const SinkFailure& f : report.failures) {
    EXPECT_EQ(f.reason, "next-hop group: Device or resource busy") << f.prefix;
  }
  EXPECT_TRUE(test_bucket(report.failed_buckets, bucket_of(Prefix4{0x0a010000, 16})));
  EXPECT_FALSE(test_bucket(report.failed_buckets, bucket_of(Prefix4{0x0a030000, 16})));
  // The Keeper looks at the next hops as often as there are doubts about them.
  const std::uint64_t tried = world.kernel.replacements;
  int looks = 0;
  for (; looks < 100 && world.mirror->doubts_nexthops(); ++looks) {
    world.mirror->set_nexthops(world.kernel.nexthops(), "doubts");
  }
  EXPECT_LE(looks, 1);
  EXPECT_EQ(world.kernel.replacements, tried) << "only retry() tries again";
  EXPECT_TRUE(world.mirror->failing());
  world.mirror->retry();
  EXPECT_EQ(world.kernel.replacements, tried + 2) << "one in each family";
  EXPECT_EQ(world.mirror->report().failed, 3u);
  // One more prefix of the class, one less.
  c.begin().set("10.4.0.0/16", 1).remove("10.2.0.0/16").end();
  report = world.mirror->report();
  EXPECT_EQ(report.failed, 3u);
  EXPECT_EQ(world.why(parse_prefix("10.4.0.0/16").value()),
            "next-hop group: Device or resource busy");
  world.kernel.refuses_replacement = kNever;
  world.mirror->retry();
  world.work();
  EXPECT_FALSE(world.mirror->failing());
  EXPECT_EQ(world.mirror->report().installed, world.fib.digest());
  world.check();
}

TEST(RefusalTest, OneFamilysOldGroupIsInTheDigest) {
  World world;
  Controller& c = world.controller;
  c.begin(DeltaKind::kFull).group(1, {"fd00::1%w3"});
  c.set("10.1.0.0/16", 1).set("2001:db8::/48", 1).end();
  for (const int refused : {1, 2}) {
    SCOPED_TRACE(refused);
    int asked = 0;
    world.kernel.refuses_replacement = [&] { return ++asked == refused; };
    c.begin().group(1, {refused == 1 ? "fd00::2%w3" : "fd00::3%w3"}).end();
    EXPECT_EQ(world.mirror->report().failed, 1u);
    EXPECT_NE(world.mirror->report().installed, world.fib.digest());
    world.kernel.refuses_replacement = kNever;
    world.mirror->retry();
    EXPECT_EQ(world.mirror->report().failed, 0u);
    EXPECT_EQ(world.mirror->report().installed, world.fib.digest());
  }
}

// Another change of the group, its withdrawal and its class's end forget the refusal.
TEST(RefusalTest, WhatIsNotWantedAnyMoreIsNoFailure) {
  const std::vector<std::function<void(Controller&)>> ends{
      [](Controller& c) { c.begin().group(1, {"10.0.0.1"}).end(); },
      [](Controller& c) { c.begin().withdraw(1).end(); },
      [](Controller& c) { c.begin().remove("10.1.0.0/16").end(); },
      [](Controller& c) { c.begin(DeltaKind::kFull).end(); }};
  for (std::size_t i = 0; i < ends.size(); ++i) {
    SCOPED_TRACE(i);
    World world;
    Controller& c = world.controller;
    c.begin(DeltaKind::kFull).group(1, {"10.0.0.1"}).set("10.1.0.0/16", 1).end();
    world.kernel.refuses_replacement = kAlways;
    c.begin().group(1, {"10.0.0.2"}).end();
    ASSERT_EQ(world.mirror->report().failed, 1u);
    ends[i](c);
    c.drain();
    EXPECT_EQ(world.mirror->report().failed, 0u);
    EXPECT_TRUE(world.mirror->report().failures.empty());
    world.mirror->retry();
    EXPECT_FALSE(world.mirror->failing());
    world.kernel.refuses_replacement = kNever;
    world.check();
  }
}

TEST(RefusalTest, AGroupThatIsNotRemovedKeepsItsRoutesAndIsRemovedLater) {
  World world;
  Controller& c = world.controller;
  c.begin(DeltaKind::kFull).group(1, {"10.0.0.1"}).group(2, {"10.0.0.2"}).set("10.9.0.0/16", 2);
  const auto many = [](int i) {
    return "10." + std::to_string(100 + i / 250) + "." + std::to_string(i % 250) + ".0/24";
  };
  for (int i = 0; i < 3000; ++i) c.set(many(i), i < 1500 ? 1 : 2);
  c.end();
  world.kernel.refuses_removal = kAlways;
  // A class as a whole, and a large part of another.
  c.begin();
  for (int i = 0; i < 3000; ++i) c.remove(many(i));
  c.end();
  SinkReport report = world.mirror->report();
  EXPECT_EQ(report.failed, 3000u);
  EXPECT_EQ(report.failures.at(0).reason, "cannot be removed: Device or resource busy");
  EXPECT_TRUE(world.mirror->failing());
  EXPECT_EQ(world.kernel.table.size(), 3001u);
  for (int i = 0; i < 10 && world.mirror->doubts_nexthops(); ++i) {
    world.mirror->set_nexthops(world.kernel.nexthops(), "doubts");
  }
  EXPECT_FALSE(world.mirror->doubts_nexthops());
  // One of them comes back meanwhile.
  c.begin().set(many(7), 2).end();
  world.work();
  EXPECT_EQ(world.mirror->report().failed, 2999u);
  world.mirror->retry();
  world.work();
  EXPECT_EQ(world.mirror->report().failed, 2999u);
  world.kernel.refuses_removal = kNever;
  world.mirror->retry();
  world.work();
  EXPECT_EQ(world.mirror->report().failed, 0u);
  EXPECT_FALSE(world.mirror->failing());
  EXPECT_EQ(world.kernel.table.size(), 2u);
  EXPECT_EQ(world.mirror->report().installed, world.fib.digest());
  world.mirror->settle(true);
  world.check();
}

TEST(RefusalTest, ARouteThatIsNotRemovedIsAFailureAndInTheDigest) {
  World world;
  Controller& c = world.controller;
  c.begin(DeltaKind::kFull).group(1, {"10.0.0.1"}).group(2, {"unreachable"});
  c.set("10.1.0.0/16", 1).set("10.2.0.0/16", 1).set("10.3.0.0/16", 2).set("10.4.0.0/16", 2).end();
  const Digest before = world.mirror->report().installed;
  world.kernel.refuses_removal = kAlways;
  c.begin().remove("10.2.0.0/16").remove("10.3.0.0/16").end();
  SinkReport report = world.mirror->report();
  EXPECT_EQ(report.failed, 2u);
  EXPECT_EQ(report.installed, before);
  EXPECT_EQ(world.why(parse_prefix("10.3.0.0/16").value()),
            "cannot be removed: Device or resource busy");
  EXPECT_FALSE(world.mirror->doubts_routes()) << "a comparison would find nothing new";
  world.kernel.refuses_removal = kNever;
  world.mirror->retry();
  EXPECT_EQ(world.mirror->report().failed, 0u);
  EXPECT_EQ(world.mirror->report().installed, world.fib.digest());
  EXPECT_FALSE(world.mirror->failing());
  world.check();
}

// A prefix comes back in the delta that removes it, its removal refused.
TEST(RefusalTest, RemovedAndWantedAgain) {
  World world;
  Controller& c = world.controller;
  c.begin(DeltaKind::kFull).group(1, {"10.0.0.1"}).group(2, {"10.0.0.2"});
  c.set("10.1.0.0/16", 1).set("10.5.0.0/16", 1).set("10.9.0.0/16", 2).end();
  world.kernel.refuses_removal = kAlways;
  c.begin().remove("10.1.0.0/16").end();
  ASSERT_EQ(world.mirror->report().failed, 1u);
  world.kernel.refuses_removal = kNever;
  c.begin().set("10.1.0.0/16", 2).end();
  EXPECT_EQ(world.mirror->report().failed, 0u);
  world.check();
}

// Two operations on a prefix before either was answered.
TEST(RefusalTest, WhatIsTakenBackIsWhatWasSent) {
  World world;
  Controller& c = world.controller;
  c.begin(DeltaKind::kFull).group(1, {"10.0.0.1"}).group(2, {"10.0.0.2"});
  c.set("10.8.0.0/16", 1).set("10.9.0.0/16", 2).end();
  const Digest before = world.mirror->report().installed;
  Mirror& m = *world.mirror;
  std::map<std::string, std::uint32_t> local;
  for (const StoredClass& known : world.fib.classes())
    local[to_string(known.hops[0].address)] = known.id;
  const Prefix p = parse_prefix("10.1.0.0/16").value();
  world.kernel.refuses = kAlways;
  m.want(p, local["10.0.0.1"]);
  m.want(p, local["10.0.0.2"]);
  m.settle(true);
  EXPECT_EQ(m.report().entries, 2u);
  EXPECT_EQ(m.report().failed, 1u);
  EXPECT_EQ(m.report().installed, before);
  m.want(p, local["10.0.0.1"]);
  m.unwant(p);
  m.settle(true);
  EXPECT_EQ(m.report().entries, 2u);
  EXPECT_EQ(m.report().failed, 0u);
  EXPECT_EQ(m.report().installed, before);
}

TEST(RefusalTest, PrefixesOfAGroupThatComesAreThereAtTheEndOfTheDelta) {
  World world;
  Controller& c = world.controller;
  c.begin(DeltaKind::kFull).group(1, {"172.16.9.9"}).group(2, {"10.0.0.2"});
  c.set("10.1.0.0/16", 1).set("10.2.0.0/16", 1).set("10.3.0.0/16", 2).end();
  ASSERT_EQ(world.mirror->report().failed, 2u);
  c.begin().group(1, {"10.0.0.1"}).end();
  EXPECT_EQ(world.mirror->report().failed, 0u);
  world.check();
  // The same where the first new prefix brings the group, in the delta's midst.
  c.begin().group(1, {"172.16.9.9"}).end();
  ASSERT_EQ(world.mirror->report().failed, 2u);
  c.begin().group(1, {"10.0.0.1"}).set("10.4.0.0/16", 1).end();
  EXPECT_EQ(world.mirror->report().failed, 0u);
  world.check();
}

TEST(RefusalTest, ThereAreAsManyReasonsAsFailures) {
  World world;
  Controller& c = world.controller;
  c.begin(DeltaKind::kFull).group(1, {"10.0.0.1"}).end();
  for (int round = 0; round < 10; ++round) {
    c.begin();
    for (std::uint32_t n = 0; n < 100; ++n) {
      c.group(10 + n, {"172.16." + std::to_string(round) + "." + std::to_string(n + 1)});
      c.set("10.20." + std::to_string(n) + ".0/24", 10 + n);
    }
    c.end();
    const SinkReport report = world.mirror->report();
    ASSERT_EQ(report.failures.size(), 100u);
    for (const SinkFailure& f : report.failures) {
      const int n = std::stoi(f.prefix.substr(6));
      EXPECT_EQ(f.reason, "next hop 172.16." + std::to_string(round) + "." + std::to_string(n + 1) +
                              ": no interface has it on its link");
    }
  }
}

TEST(ReasonsTest, GivesBackWhatNobodyHoldsAndSaysWhereThereAreTooMany) {
  std::set<std::uint8_t> held;
  int asked = 0;
  Reasons reasons([&](Reasons::Set* set) {
    ++asked;
    for (const std::uint8_t r : held) set->set(r);
  });
  EXPECT_EQ(reasons.of(""), 0);
  EXPECT_EQ(reasons.words(0), "waits to be installed");
  for (int i = 0; i < 254; ++i) held.insert(reasons.of("reason " + std::to_string(i)));
  EXPECT_EQ(held.size(), 254u);
  EXPECT_EQ(asked, 0);
  const std::uint8_t other = reasons.of("one more");
  EXPECT_EQ(reasons.words(other), "one of more reasons than are told apart");
  EXPECT_EQ(reasons.of("and another"), other);
  EXPECT_EQ(asked, 1) << "in vain is once";
  EXPECT_EQ(reasons.words(reasons.of("reason 17")), "reason 17");
  held.erase(reasons.of("reason 17"));
  reasons.again();
  EXPECT_EQ(reasons.words(reasons.of("one more")), "one more");
  EXPECT_EQ(reasons.words(reasons.of("reason 18")), "reason 18");
}

// The kernel leaves routes out of a list of IPv6 ones that changes while it is made, and does not
// say so.
class IncompleteAuditTest : public ::testing::Test {
 protected:
  IncompleteAuditTest() {
    Controller& c = world.controller;
    c.begin(DeltaKind::kFull)
        .group(1, {"fd00::1"})
        .group(2, {"unreachable"})
        .group(3, {"10.0.0.1"});
    c.set("2001:db8:1::/48", 1).set("2001:db8:2::/48", 1).set("2001:db8:3::/48", 2);
    c.set("10.1.0.0/16", 3).end();
    before = world.mirror->report();
  }
  void audit_without(const std::set<std::string>& left_out) {
    world.mirror->begin_audit();
    for (const RouteFact& r : world.kernel.our_routes()) {
      if (!left_out.contains(to_string(r.prefix))) world.mirror->audit(r);
    }
    world.mirror->end_audit(true);
    world.work();
  }

  World world;
  SinkReport before;
};

TEST_F(IncompleteAuditTest, RoutesThatAreThereAreNotLost) {
  std::size_t changes = 0;
  world.kernel.changed = [&] { ++changes; };
  const auto table = world.kernel.table;
  audit_without({"2001:db8:1::/48", "2001:db8:3::/48"});
  const SinkReport report = world.mirror->report();
  EXPECT_EQ(report.failed, 0u) << world.reasons(report);
  EXPECT_EQ(report.installed, before.installed);
  EXPECT_EQ(report.repaired, 0u);
  EXPECT_TRUE(world.mirror->take_restorations().empty());
  EXPECT_TRUE(world.mirror->findings().differences.empty());
  EXPECT_TRUE(world.kernel.table == table);
  EXPECT_TRUE(world.mirror->doubts_routes()) << "what stands there is to be seen";
  audit_without({});
  EXPECT_FALSE(world.mirror->doubts_routes());
  world.check();
}

TEST_F(IncompleteAuditTest, RoutesThatAreLostComeBackAndAreTold) {
  world.kernel.table.erase(key("2001:db8:2::/48"));
  world.kernel.table.erase(key("2001:db8:3::/48"));
  audit_without({"2001:db8:1::/48"});
  world.check();
  const auto told = world.mirror->take_restorations();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].cause, "lost unseen, found by an audit");
  EXPECT_EQ(told[0].count, 2u);
  EXPECT_EQ(world.mirror->report().repaired, 2u);
}

TEST_F(IncompleteAuditTest, AnotherProgramsRouteInTheirPlaceIsAFailureOnceItIsSure) {
  world.kernel.table[key("2001:db8:2::/48")] = {4, RouteType::kGroup, 0};
  audit_without({});
  EXPECT_EQ(world.mirror->report().failed, 0u);
  EXPECT_TRUE(world.mirror->doubts_routes());
  audit_without({});
  ASSERT_EQ(world.mirror->report().failed, 1u);
  EXPECT_EQ(world.why(parse_prefix("2001:db8:2::/48").value()),
            "another route with this prefix and metric stands in its place");
  world.kernel.table.erase(key("2001:db8:2::/48"));
  world.mirror->retry();
  world.work();
  world.check();
}

TEST_F(IncompleteAuditTest, AnIPv4RouteThatIsNotTold) {
  world.kernel.table.erase(key("10.1.0.0/16"));
  audit_without({});
  world.check();
  EXPECT_EQ(world.mirror->report().repaired, 1u);
}

TEST(FindingsTest, AnAuditMayKeepWhatTheOneBeforeFound) {
  World world;
  world.controller.begin(DeltaKind::kFull).group(1, {"10.0.0.1"}).set("10.1.0.0/16", 1).end();
  world.kernel.table.erase(key("10.1.0.0/16"));
  world.audit();
  world.work();
  for (const bool keep : {true, false}) {
    world.mirror->begin_audit(keep);
    for (const RouteFact& r : world.kernel.our_routes()) world.mirror->audit(r);
    world.mirror->end_audit(true);
    EXPECT_EQ(world.mirror->findings().differences.size(), keep ? 1u : 0u);
    EXPECT_EQ(world.mirror->findings().routes, 1u);
  }
}

}  // namespace
}  // namespace dvr::kernel::test
