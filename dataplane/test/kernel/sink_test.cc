// The kernel sink with the real kernel, in a network namespace of the test's own.
#include <signal.h>

#include "test/kernel/scene.h"

namespace dvr::kernel::test {
namespace {

using std::chrono::milliseconds;

constexpr const char* kList4 = "ip route show proto 68 table ";
constexpr const char* kList6 = "ip -6 route show proto 68 table ";

class KernelSinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = enter_namespace(); !why.empty()) GTEST_SKIP() << why;
  }

  // Our routes as `ip` shows them, on one line each, without what the kernel adds.
  static std::string routes(const std::string& table = "main") {
    return run(kList4 + table) + run(kList6 + table);
  }
  static bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }
  static std::size_t count(const std::string& text, const std::string& part) {
    std::size_t n = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
    return n;
  }
  // The word between two texts that are on one line of it.
  static std::string first_word_after(const std::string& text, const std::string& before,
                                      const std::string& behind) {
    for (auto at = text.find(before); at != std::string::npos; at = text.find(before, at + 1)) {
      const auto begin = at + before.size(), end = text.find(' ', begin);
      if (end != std::string::npos && text.compare(end, behind.size(), behind) == 0) {
        return text.substr(begin, end - begin);
      }
    }
    return "";
  }
  // The way of a packet.
  static std::string way(const std::string& address) { return run("ip route get " + address); }
};

TEST_F(KernelSinkTest, InstallsEveryKindOfNextHopInBothFamilies) {
  Router r;
  r.controller.begin(DeltaKind::kFull)
      .group(1, {"10.0.0.2%w0"})
      .group(2, {"10.0.0.2*3", "10.0.1.2*200"})  // the kernel says where they are
      .group(3, {"fd00:0::2%w0"})
      .group(4, {"blackhole"})
      .group(5, {"unreachable"})
      .group(6, {"prohibit"})
      .group(7, {"%w1"})
      .group(8, {"fe80::2%w1"})
      .set("192.0.2.0/24", 1)
      .set("198.51.100.0/24", 2)
      .set("203.0.113.0/24", 3)  // IPv4 over an IPv6 next hop, RFC 8950
      .set("2001:db8:3::/48", 3)
      .set("10.4.0.0/16", 4)
      .set("2001:db8:4::/48", 4)
      .set("10.5.0.0/16", 5)
      .set("2001:db8:5::/48", 5)
      .set("10.6.0.0/16", 6)
      .set("2001:db8:6::/48", 6)
      .set("10.7.0.0/16", 7)
      .set("2001:db8:7::/48", 7)
      .set("2001:db8:8::/48", 8)
      .set("0.0.0.0/0", 1)
      .set("::/0", 3)
      .end();
  EXPECT_TRUE(r.right()) << routes();
  const SinkReport report = r.sink->report();
  for (const SinkFailure& f : report.failures) ADD_FAILURE() << f.prefix << ": " << f.reason;
  EXPECT_EQ(report.entries, 15u);
  EXPECT_TRUE(has(way("192.0.2.1"), "via 10.0.0.2 dev w0"));
  EXPECT_TRUE(has(way("203.0.113.1"), "via inet6 fd00::2 dev w0")) << way("203.0.113.1");
  EXPECT_TRUE(has(way("2001:db8:3::1"), "via fd00::2 dev w0"));
  EXPECT_TRUE(has(way("10.7.0.1"), "dev w1"));
  EXPECT_TRUE(has(way("2001:db8:8::1"), "via fe80::2 dev w1"));
  EXPECT_TRUE(has(way("10.5.0.1"), "No route to host"));
  EXPECT_TRUE(has(way("10.6.0.1"), "Permission denied"));
  EXPECT_TRUE(has(way("10.4.0.1"), "Invalid argument")) << way("10.4.0.1");
  EXPECT_TRUE(has(way("9.9.9.9"), "via 10.0.0.2"));
  const std::string shown = routes();
  EXPECT_TRUE(has(shown, "nexthop via 10.0.0.2 dev w0 weight 3")) << shown;
  EXPECT_TRUE(has(shown, "nexthop via 10.0.1.2 dev w1 weight 200")) << shown;
  EXPECT_EQ(count(shown, "metric 70"), 15u) << shown;
  EXPECT_EQ(count(shown, "nhid"), 11u) << shown;
}

TEST_F(KernelSinkTest, ChangesAndRemovalsLeaveNothingBehind) {
  Router r;
  r.controller.begin(DeltaKind::kFull)
      .group(1, {"10.0.0.2%w0"})
      .group(2, {"10.0.1.2%w1"})
      .group(3, {"unreachable"})
      .set("192.0.2.0/24", 1)
      .set("198.51.100.0/24", 1)
      .set("203.0.113.0/24", 2)
      .set("2001:db8::/48", 3)
      .end();
  r.controller.begin()
      .group(4, {"fd00:1::2%w1"})
      .set("192.0.2.0/24", 2)
      .set("203.0.113.0/24", 3)
      .set("2001:db8::/48", 4)
      .remove("198.51.100.0/24")
      .end();
  EXPECT_TRUE(r.right());
  EXPECT_TRUE(has(way("192.0.2.1"), "via 10.0.1.2 dev w1"));
  EXPECT_TRUE(has(way("203.0.113.1"), "No route to host"));
  EXPECT_TRUE(has(way("2001:db8::1"), "via fd00:1::2"));
  EXPECT_FALSE(has(routes(), "198.51.100"));
  r.controller.begin(DeltaKind::kFull).end();
  r.controller.drain();
  EXPECT_TRUE(r.right());
  EXPECT_EQ(routes(), "");
  EXPECT_EQ(run("ip nexthop show proto 68"), "");
}

TEST_F(KernelSinkTest, UsesItsTableAndMetric) {
  KernelOptions options;
  options.table = 1000;
  options.metric = 12;
  Router r(options);
  r.controller.begin(DeltaKind::kFull).group(1, {"10.0.0.2%w0"}).group(2, {"fd00:0::2%w0"});
  r.controller.set("192.0.2.0/24", 1).set("2001:db8::/48", 2).end();
  EXPECT_TRUE(r.right());
  EXPECT_EQ(routes(), "");
  EXPECT_EQ(count(routes("1000"), "metric 12"), 2u) << routes("1000");
}

TEST_F(KernelSinkTest, OneTableHasOneMaster) {
  Router first;
  Fib fib;
  Observed observed;
  std::unique_ptr<KernelSink> second;
  const Status status = KernelSink::open({}, fib, observed, &second);
  EXPECT_EQ(status.code(), Code::kLocked) << status.message();
  KernelOptions other;
  other.table = 1000;
  EXPECT_TRUE(KernelSink::open(other, fib, observed, &second).ok());
}

TEST_F(KernelSinkTest, WhatTheKernelRefusesIsToldAndStopsNothing) {
  Router r;
  r.controller.begin(DeltaKind::kFull)
      .group(1, {"10.0.0.2%w0"})
      .group(2, {"172.16.9.9"})        // on no link
      .group(3, {"10.0.0.2%nosuch0"})  // no such interface
      .group(4, {"10.0.0.1%w0"})       // our own address
      .set("192.0.2.0/24", 1)
      .set("198.51.100.0/24", 2)
      .set("203.0.113.0/24", 3)
      .set("2001:db8::/48", 1)  // IPv6 over IPv4
      .set("10.9.0.0/16", 4)
      .end();
  const SinkReport report = r.sink->report();
  EXPECT_EQ(report.failed, 4u);
  EXPECT_EQ(report.entries, 1u);
  std::map<std::string, std::string> reasons;
  for (const SinkFailure& f : report.failures) reasons[f.prefix] = f.reason;
  EXPECT_EQ(reasons["198.51.100.0/24"], "next hop 172.16.9.9: no interface has it on its link");
  EXPECT_EQ(reasons["203.0.113.0/24"], "next hop 10.0.0.2 dev nosuch0: there is no such interface");
  EXPECT_EQ(reasons["2001:db8::/48"],
            "next hop 10.0.0.2 dev w0: IPv6 routes can not use an IPv4 next hop");
  EXPECT_EQ(reasons["10.9.0.0/16"], "next hop 10.0.0.1 dev w0: Nexthop has invalid gateway");
  for (const auto& [prefix, reason] : reasons) {
    EXPECT_TRUE(test_bucket(report.failed_buckets,
                            prefix.find(':') == std::string::npos
                                ? bucket_of(Prefix4{parse_prefix(prefix)->address.as_v4(),
                                                    parse_prefix(prefix)->length})
                                : bucket_of(Prefix6{parse_prefix(prefix)->address.bits,
                                                    parse_prefix(prefix)->length})));
  }
  EXPECT_TRUE(has(way("192.0.2.1"), "via 10.0.0.2"));
  // What becomes possible is done without being asked.
  must("ip addr add 172.16.9.1/24 dev w1");
  must("ip link add nosuch0 type veth peer name nosuch1");
  must("ip link set nosuch0 up");
  must("ip link set nosuch1 up");
  EXPECT_TRUE(eventually([&] { return r.sink->report().failed == 2; }))
      << r.sink->report().failures[0].reason;
  EXPECT_TRUE(has(way("198.51.100.1"), "via 172.16.9.9 dev w1"));
  EXPECT_TRUE(has(way("203.0.113.1"), "via 10.0.0.2 dev nosuch0"));
}

TEST_F(KernelSinkTest, ForeignRoutesAreNeverTouched) {
  must("ip route add 192.0.2.0/24 via 10.0.1.9 metric 70");  // in the place of one of ours
  must("ip route add 198.51.100.0/24 via 10.0.1.9 metric 5");
  must("ip route add 203.0.113.0/24 via 10.0.1.9 proto 68 table 77");
  must("ip nexthop add id 543162369 via 10.0.1.9 dev w1");  // an id of our range
  const std::string before = run("ip route show table 77") + run("ip nexthop show id 543162369");
  Router r;
  r.controller.begin(DeltaKind::kFull)
      .group(1, {"10.0.0.2%w0"})
      .set("192.0.2.0/24", 1)
      .set("198.51.100.0/24", 1)
      .set("100.64.0.0/10", 1)
      .end();
  const SinkReport report = r.sink->report();
  ASSERT_EQ(report.failed, 1u);
  EXPECT_EQ(report.failures[0].prefix, "192.0.2.0/24");
  EXPECT_EQ(report.failures[0].reason,
            "another route with this prefix and metric stands in its place");
  EXPECT_TRUE(has(way("192.0.2.1"), "via 10.0.1.9"));
  EXPECT_TRUE(has(way("198.51.100.1"), "via 10.0.1.9"));  // its metric is lower
  EXPECT_TRUE(has(way("100.64.0.1"), "via 10.0.0.2"));
  // It goes by itself: then ours comes.
  must("ip route del 192.0.2.0/24 metric 70");
  EXPECT_TRUE(eventually([&] { return r.right(); }));
  r.controller.begin(DeltaKind::kFull).end();
  EXPECT_EQ(run("ip route show table 77") + run("ip nexthop show id 543162369"), before);
  EXPECT_TRUE(has(way("198.51.100.1"), "via 10.0.1.9"));
}

TEST_F(KernelSinkTest, OneForeignChangeIsRepairedWithinASecond) {
  // Else `ip route flush` is refused: the kernel shows routes both with next hops and their group.
  ASSERT_TRUE(KernelTuning::set_fast_groups().ok());
  Router r;
  r.controller.begin(DeltaKind::kFull)
      .group(1, {"10.0.0.2%w0"})
      .group(2, {"fd00:0::2%w0"})
      .group(3, {"unreachable"})
      .set("192.0.2.0/24", 1)
      .set("198.51.100.0/24", 1)
      .set("2001:db8::/48", 2)
      .set("10.3.0.0/16", 3)
      .end();
  const auto repaired = [&](const std::string& command) {
    const std::uint64_t before = r.sink->report().repaired;
    must(command);
    EXPECT_TRUE(eventually([&] { return r.sink->report().repaired > before; }, milliseconds(1000)))
        << command;
    EXPECT_TRUE(eventually([&] {
      return r.right() && has(way("192.0.2.1"), "via 10.0.0.2") &&
             has(way("2001:db8::1"), "via fd00::2") && has(way("10.3.0.1"), "No route");
    })) << command
        << routes();
  };
  repaired("ip route del 192.0.2.0/24");
  repaired("ip -6 route del 2001:db8::/48");
  repaired("ip route del unreachable 10.3.0.0/16 proto 68");
  repaired("ip route replace 192.0.2.0/24 via 10.0.1.2 metric 70");
  repaired("ip -6 route replace 2001:db8::/48 via fd00:1::2 metric 70");
  repaired("ip route flush proto 68");
  repaired("ip -6 route flush proto 68");
  repaired("ip nexthop flush proto 68");
  // The next hop becomes another one, the group gets another member.
  const std::string member =
      first_word_after(run("ip nexthop show proto 68"), "id ", " via 10.0.0.2");
  const std::string group = first_word_after(run("ip route show 192.0.2.0/24"), "nhid ", " ");
  ASSERT_FALSE(member.empty()) << run("ip nexthop show proto 68");
  ASSERT_FALSE(group.empty()) << run("ip route show 192.0.2.0/24");
  repaired("ip nexthop replace id " + member + " via 10.0.1.9 dev w1 proto 68");
  must("ip nexthop add id 5 via 10.0.1.9 dev w1");
  repaired("ip nexthop replace id " + group + " group 5 proto 68");
  const auto told = r.observed.restorations();
  ASSERT_GE(told.size(), 8u);
  EXPECT_EQ(told[0].substr(0, 34), "192.0.2.0/24 1 removed by process ") << told[0];
  EXPECT_TRUE(has(told[3], "192.0.2.0/24 1 replaced by process ")) << told[3];
  EXPECT_TRUE(has(told.back(), " 2 next hops changed by ")) << told.back();
  EXPECT_TRUE(has(run("ip nexthop show id 5"), "10.0.1.9"));
}

// Nobody is there to answer, and who is said to be somewhere is not asked. The kernel
// forgets it when its interface is taken down.
void known(const std::string& neighbour, const std::string& interface) {
  must("ip neigh replace " + neighbour + " lladdr 02:00:00:00:00:02 nud permanent dev " +
       interface);
}

TEST_F(KernelSinkTest, LinkDownTakesNextHopsAndUpBringsThemBack) {
  Router r;
  r.controller.begin(DeltaKind::kFull)
      .group(1, {"10.0.0.2%w0"})
      .group(2, {"10.0.0.2%w0", "10.0.1.2%w1"})
      .group(3, {"fd00:0::2%w0", "fd00:1::2%w1"})
      .set("192.0.2.0/24", 1)
      .set("198.51.100.0/24", 2)
      .set("2001:db8::/48", 3)
      .end();
  for (const char* down : {"ip link set w0 down", "ip link set p0 down"}) {
    must(down);
    EXPECT_TRUE(
        eventually([&] { return r.sink->report().failed == 1 && r.sink->report().deviates; },
                   milliseconds(1000)))
        << down;
    const SinkReport report = r.sink->report();
    EXPECT_EQ(report.failures[0].prefix, "192.0.2.0/24");
    EXPECT_EQ(report.failures[0].reason, "next hop 10.0.0.2 dev w0: the interface is down");
    EXPECT_NE(report.installed, r.fib.installed_digest());
    EXPECT_TRUE(has(way("198.51.100.1"), "via 10.0.1.2"));
    EXPECT_TRUE(has(way("2001:db8::1"), "via fd00:1::2"));
    must(std::string(down).substr(0, 14) + " up");
    must("ip addr replace fd00:0::1/64 dev w0 nodad");
    known("10.0.0.2", "w0");
    known("fd00:0::2", "w0");
    EXPECT_TRUE(eventually([&] { return r.right(); }))
        << down << " "
        << (r.sink->report().failures.empty() ? "" : r.sink->report().failures[0].reason);
    EXPECT_EQ(count(routes(), "dev w0"), 3u) << routes();
    EXPECT_FALSE(r.sink->report().deviates);
  }
}

TEST_F(KernelSinkTest, ADeadInterfaceLeavesGroupsAtOnceAndComesBackWhenItStays) {
  known("10.0.0.2", "w0");
  Router r;
  r.controller.begin(DeltaKind::kFull)
      .group(1, {"10.0.0.2%w0", "10.0.1.2%w1"})
      .set("192.0.2.0/24", 1)
      .end();
  EXPECT_TRUE(eventually([&] { return r.observed.states().contains("w1"); }));
  EXPECT_TRUE(r.observed.states()["w0"]);
  auto best = milliseconds(10000);
  for (int i = 0; i < 3; ++i) {  // the machine may be busy: the best counts
    must("ip link set p0 down");
    const auto began = std::chrono::steady_clock::now();
    ASSERT_TRUE(eventually([&] { return r.sink->report().deviates; }));
    best = std::min(
        best, std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - began));
    EXPECT_FALSE(has(run("ip route show 192.0.2.0/24"), "10.0.0.2"));
    EXPECT_TRUE(eventually([&] {
      const auto states = r.observed.states();
      return states.contains("10.0.0.2%w0") && !states.at("10.0.0.2%w0");
    }));
    EXPECT_FALSE(r.observed.states()["w0"]);
    must("ip link set p0 up");
    ASSERT_TRUE(eventually([&] { return r.right(); })) << routes();
    EXPECT_TRUE(r.observed.states()["w0"]);
    EXPECT_TRUE(eventually([&] { return r.observed.states()["10.0.0.2%w0"]; }));
  }
  EXPECT_LT(best, milliseconds(100));
  EXPECT_FALSE(r.observed.states().contains("10.0.1.2%w1")) << "nothing happened to it";
}

// An interface that is up again says nothing of who is behind it.
TEST_F(KernelSinkTest, ANextHopIsNotUsedBeforeItHasAnsweredOnAnInterfaceThatCameBack) {
  known("10.0.1.2", "w1");
  Router r;
  r.controller.begin(DeltaKind::kFull)
      .group(1, {"10.0.0.2%w0", "10.0.1.2%w1"})
      .set("192.0.2.0/24", 1)
      .end();
  ASSERT_TRUE(eventually([&] { return r.right(); })) << routes();
  must("ip link set p0 down");
  // The kernel tells of an interface once a second at most: up again before it has told of
  // down is nothing.
  ASSERT_TRUE(eventually([&] { return !has(run("ip route show 192.0.2.0/24"), "10.0.0.2"); }));
  ASSERT_TRUE(eventually([&] { return r.sink->report().deviates; }));
  must("ip link set p0 up");
  // The kernel fails to find it, and it stays away.
  EXPECT_TRUE(eventually([&] { return has(run("ip neigh show 10.0.0.2"), "FAILED"); }));
  EXPECT_FALSE(has(run("ip route show 192.0.2.0/24"), "10.0.0.2"));
  EXPECT_TRUE(r.sink->report().deviates);
  must("ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:01 nud reachable dev w0");
  EXPECT_TRUE(eventually([&] { return r.right(); })) << routes();
}

TEST_F(KernelSinkTest, ANextHopThatDoesNotAnswerLeavesItsGroupUntilItDoes) {
  for (const char* n : {"0", "1"}) {
    // The kernel gives up after three unanswered requests.
    must(std::string("sysctl -qw net.ipv4.neigh.w") + n + ".retrans_time_ms=20");
  }
  must("ip neigh replace 10.0.1.2 lladdr 02:00:00:00:00:02 nud permanent dev w1");
  KernelOptions options;
  options.probe_every = milliseconds(200);
  Router r(options);
  r.controller.begin(DeltaKind::kFull)
      .group(1, {"10.0.0.2%w0", "10.0.1.2%w1"})
      .set("192.0.2.0/24", 1)
      .end();
  EXPECT_TRUE(eventually([&] { return r.sink->report().deviates; }));
  EXPECT_FALSE(has(run("ip route show 192.0.2.0/24"), "10.0.0.2"));
  EXPECT_TRUE(eventually(
      [&] { return r.observed.news().size() > 0 && r.observed.states().contains("10.0.0.2%w0"); }));
  EXPECT_FALSE(r.observed.states()["10.0.0.2%w0"]);
  EXPECT_TRUE(has(run("ip neigh show 10.0.1.2"), "PERMANENT")) << "who is fixed is not asked";
  // It is there now: somebody says where, which the kernel tells.
  must("ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:01 nud reachable dev w0");
  EXPECT_TRUE(eventually([&] { return r.right(); })) << routes();
  EXPECT_TRUE(eventually([&] { return r.observed.states()["10.0.0.2%w0"]; }));
  // And asked again, it fails again.
  EXPECT_TRUE(eventually([&] { return r.sink->report().deviates; }));
}

TEST_F(KernelSinkTest, ProbesBeginAndEndWhileItRuns) {
  for (const char* n : {"0", "1"}) {
    must(std::string("sysctl -qw net.ipv4.neigh.w") + n + ".retrans_time_ms=20");
  }
  Router r;
  r.controller.begin(DeltaKind::kFull)
      .group(1, {"10.0.0.2%w0", "10.0.1.2%w1"})
      .set("192.0.2.0/24", 1)
      .end();
  ASSERT_TRUE(eventually([&] { return r.right(); })) << routes();
  const auto asked = [&] {
    for (const auto& [name, value] : r.sink->counters()) {
      if (name == "kernel_probes") return value;
    }
    return std::uint64_t{0};
  };
  EXPECT_EQ(asked(), 0u);
  EXPECT_FALSE(has(run("ip neigh show"), "10.0.")) << "nobody asks";
  // Those on w0 alone.
  ASSERT_TRUE(r.sink->probe(Probes({{{}, "w0", milliseconds(100)}})));
  EXPECT_TRUE(eventually([&] { return r.sink->report().deviates; }));
  EXPECT_FALSE(has(run("ip route show 192.0.2.0/24"), "10.0.0.2"));
  EXPECT_FALSE(has(run("ip neigh show"), "10.0.1.2"));
  EXPECT_TRUE(eventually([&] {
    const auto states = r.observed.states();
    return states.contains("10.0.0.2%w0") && !states.at("10.0.0.2%w0");
  }));
  EXPECT_TRUE(eventually([&] { return asked() > 0; }));
  // Who was found dead is asked on without a probe, and is used when it is there.
  ASSERT_TRUE(r.sink->probe({}));
  must("ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:01 nud permanent dev w0");
  EXPECT_TRUE(eventually([&] { return r.right() && !r.sink->report().deviates; })) << routes();
  EXPECT_TRUE(eventually([&] { return r.observed.states()["10.0.0.2%w0"]; }));
}

TEST_F(KernelSinkTest, NextHopsAreFoundWhereTheirNetworkMovesTo) {
  Router r;
  r.controller.begin(DeltaKind::kFull).group(1, {"10.0.0.2"}).set("192.0.2.0/24", 1).end();
  ASSERT_TRUE(has(way("192.0.2.1"), "dev w0"));
  must("ip addr del 10.0.0.1/24 dev w0");
  must("ip addr add 10.0.0.1/24 dev w1");
  EXPECT_TRUE(eventually([&] { return has(way("192.0.2.1"), "via 10.0.0.2 dev w1"); })) << routes();
  EXPECT_TRUE(eventually([&] { return r.right(); }));
}

TEST_F(KernelSinkTest, WhatIsRightIsLeftAloneAfterARestart) {
  const auto table = [](Controller& c, DeltaKind kind) {
    c.begin(kind).group(1, {"10.0.0.2%w0"}).group(2, {"fd00:0::2%w0", "fd00:1::2%w1"});
    c.group(3, {"unreachable"}).group(4, {"prohibit"}).group(5, {"blackhole"});
    c.set("192.0.2.0/24", 1).set("198.51.100.0/24", 1).set("2001:db8::/48", 2);
    c.set("10.3.0.0/16", 3).set("2001:db8:3::/48", 3).set("10.4.0.0/16", 4);
    c.set("2001:db8:4::/48", 4).set("10.5.0.0/16", 5).end();
  };
  {
    Router r;
    table(r.controller, DeltaKind::kFull);
    ASSERT_TRUE(r.right());
  }
  const std::string before = routes() + run("ip nexthop show");
  EXPECT_TRUE(has(before, "192.0.2.0/24"));
  // What the kernel tells of changes, from here on.
  // `exec`: the shell's pid becomes the monitor's.
  FILE* const monitor = ::popen("echo $$; exec ip monitor route nexthop", "r");
  char line[512];
  ASSERT_NE(std::fgets(line, sizeof line, monitor), nullptr);
  const pid_t pid = std::atoi(line);
  must("sleep 0.3");
  {
    // The saved table is there again: nothing is touched.
    Fib fib;
    Controller saved(fib);
    table(saved, DeltaKind::kFull);
    Observed observed;
    std::unique_ptr<KernelSink> sink;
    ASSERT_TRUE(KernelSink::open({}, fib, observed, &sink).ok());
    fib.add_listener(sink.get());
    table(saved, DeltaKind::kIncremental);
    EXPECT_EQ(sink->report().entries, 8u);
    EXPECT_EQ(sink->report().failed, 0u);
    EXPECT_EQ(sink->report().repaired, 0u);
    fib.remove_listener(sink.get());
  }
  EXPECT_EQ(routes() + run("ip nexthop show"), before);
  must("ip route add 203.0.113.0/24 dev w0");  // the end of what is looked at
  std::string heard;
  while (!has(heard, "203.0.113.0/24") && std::fgets(line, sizeof line, monitor) != nullptr) {
    heard += line;
  }
  ASSERT_GT(pid, 1);
  ::kill(pid, SIGTERM);
  ::pclose(monitor);
  EXPECT_EQ(heard.substr(0, 14), "203.0.113.0/24") << heard;
}

TEST_F(KernelSinkTest, WithoutASavedTableRoutesStayUntilTheControllersIsThere) {
  {
    Router r;
    r.controller.begin(DeltaKind::kFull).group(9, {"10.0.0.2%w0"}).group(1, {"10.0.1.2%w1"});
    r.controller.set("192.0.2.0/24", 9).set("198.51.100.0/24", 1).set("10.3.0.0/16", 1).end();
  }
  Router r;  // its table is empty, its local ids are others
  EXPECT_TRUE(eventually([&] { return has(way("192.0.2.1"), "via 10.0.0.2"); }));
  r.controller.begin(DeltaKind::kFull).group(1, {"10.0.0.3%w0"}).set("192.0.2.0/24", 1);
  EXPECT_TRUE(has(way("198.51.100.1"), "via 10.0.1.2"));
  EXPECT_TRUE(has(way("10.3.0.1"), "via 10.0.1.2"));
  r.controller.end();
  EXPECT_TRUE(r.right());
  EXPECT_TRUE(has(way("192.0.2.1"), "via 10.0.0.3"));
  EXPECT_EQ(count(routes(), "metric 70"), 1u) << routes();
  EXPECT_EQ(count(run("ip nexthop show proto 68"), "id "), 2u) << run("ip nexthop show");
}

TEST_F(KernelSinkTest, WhatUndoesACommitByItselfIsNoController) {
  {
    Router r;
    r.controller.begin(DeltaKind::kFull).group(9, {"10.0.0.2%w0"}).group(1, {"10.0.1.2%w1"});
    r.controller.set("192.0.2.0/24", 9).set("198.51.100.0/24", 1).end();
  }
  Router r;
  r.controller.begin().group(1, {"10.0.1.2%w1"}).set("203.0.113.0/24", 1);
  ASSERT_TRUE(r.fib.end({"log", 1, 1}, "n", false).ok());
  EXPECT_TRUE(has(way("203.0.113.1"), "via 10.0.1.2"));
  EXPECT_TRUE(has(way("192.0.2.1"), "via 10.0.0.2")) << "what may be newer stays";
  r.controller.begin().end();
  EXPECT_TRUE(r.right());
  EXPECT_EQ(count(routes(), "metric 70"), 1u) << routes();
}

// Somebody's IPv6 route keeps a group from becoming one of IPv4.
TEST_F(KernelSinkTest, AGroupThatTheKernelDoesNotReplaceIsAFailureUntilItDoes) {
  Router r;
  r.controller.begin(DeltaKind::kFull).group(1, {"fd00:0::2%w0"}).set("192.0.2.0/24", 1).end();
  ASSERT_TRUE(r.right());
  const std::string group = first_word_after(run("ip route show 192.0.2.0/24"), "nhid ", " ");
  must("ip -6 route add 2001:db8:99::/48 nhid " + group);
  const Digest before = r.sink->report().installed;
  r.controller.begin().group(1, {"10.0.0.2%w0"}).end();
  const SinkReport report = r.sink->report();
  ASSERT_EQ(report.failed, 1u);
  EXPECT_EQ(report.failures[0].prefix, "192.0.2.0/24");
  EXPECT_TRUE(has(report.failures[0].reason, "next-hop group: ")) << report.failures[0].reason;
  EXPECT_EQ(report.installed, before);
  EXPECT_FALSE(report.deviates);
  EXPECT_TRUE(has(way("192.0.2.1"), "via inet6 fd00::2 dev w0")) << way("192.0.2.1");
  const auto refused = [&] {
    std::uint64_t n = 0;
    for (const auto& [name, value] : r.sink->counters()) n = name == "kernel_refused" ? value : n;
    return n;
  };
  // The first retry is a second later: by then it was not asked for hundreds of times.
  EXPECT_TRUE(eventually([&] { return refused() >= 2; }));
  EXPECT_LE(refused(), 4u);
  must("ip -6 route del 2001:db8:99::/48");
  EXPECT_TRUE(eventually([&] { return r.right(); })) << routes();
  EXPECT_TRUE(has(way("192.0.2.1"), "via 10.0.0.2 dev w0")) << way("192.0.2.1");
}

TEST_F(KernelSinkTest, AnotherMetricReplacesTheOldOne) {
  {
    Router r;
    r.controller.begin(DeltaKind::kFull).group(1, {"10.0.0.2%w0"}).set("192.0.2.0/24", 1).end();
  }
  KernelOptions options;
  options.metric = 20;
  Router r(options);
  r.controller.begin(DeltaKind::kFull).group(1, {"10.0.0.2%w0"}).set("192.0.2.0/24", 1).end();
  EXPECT_TRUE(r.right());
  EXPECT_EQ(count(routes(), "192.0.2.0/24"), 1u) << routes();
  EXPECT_TRUE(has(routes(), "metric 20"));
}

TEST_F(KernelSinkTest, LostNewsLeadToAComparison) {
  ASSERT_TRUE(KernelTuning::set_fast_groups().ok());
  KernelOptions options;
  options.listen_bytes = 1;  // the kernel's least: a few messages
  Router r(options);
  Controller& c = r.controller;
  c.begin(DeltaKind::kFull).group(1, {"10.0.0.2%w0"});
  for (int i = 0; i < 5000; ++i) {
    c.set("10." + std::to_string(100 + i / 250) + "." + std::to_string(i % 250) + ".0/24", 1);
  }
  c.end();
  ASSERT_TRUE(r.right());
  must("ip route flush proto 68");
  EXPECT_TRUE(eventually([&] { return count(routes(), "metric 70") == 5000; }));
  EXPECT_TRUE(eventually([&] { return r.right(); }));
  EXPECT_FALSE(r.observed.troubles().empty());
}

TEST_F(KernelSinkTest, AnAuditFindsWhatNobodyTold) {
  KernelOptions options;
  options.audit_every = milliseconds(100);
  Router r(options);
  r.controller.begin(DeltaKind::kFull).group(1, {"10.0.0.2%w0"}).set("192.0.2.0/24", 1).end();
  // A route of ours that nobody wanted, with our protocol: another one adds it.
  must("ip route add 198.51.100.0/24 via 10.0.0.2 proto 68 metric 70");
  must("ip route add 192.0.2.0/24 via 10.0.0.2 proto 68 metric 71");
  EXPECT_TRUE(eventually([&] { return count(routes(), "metric") == 1; })) << routes();
  EXPECT_TRUE(r.right());
}

TEST_F(KernelSinkTest, AnAuditThatIsAskedForTellsWhatItFoundAndSetRight) {
  Router r;
  r.controller.begin(DeltaKind::kFull).group(1, {"10.0.0.2%w0"}).group(2, {"10.9.9.9"});
  r.controller.set("192.0.2.0/24", 1).set("198.51.100.0/24", 1).set("203.0.113.0/24", 2).end();
  const auto audit = [&] {
    std::atomic<bool> done{false};
    SinkAudit result;
    EXPECT_TRUE(r.sink->audit([&](const SinkAudit& a) {
      result = a;
      done = true;
    }));
    EXPECT_TRUE(eventually([&] { return done.load(); }));
    return result;
  };
  SinkAudit quiet = audit();
  EXPECT_TRUE(quiet.complete);
  EXPECT_EQ(quiet.entries, 2u);
  EXPECT_EQ(quiet.failed, 1u);
  EXPECT_TRUE(quiet.differences.empty());
  // The kernel tells nobody of a route that it takes away with its next hop's interface, and of
  // added ones this sink does not want to hear.
  must("ip route add 100.64.0.0/10 via 10.0.0.2 proto 68 metric 70");
  must("ip route add 192.0.2.0/24 via 10.0.0.2 proto 68 metric 71");
  const SinkAudit found = audit();
  EXPECT_TRUE(found.complete);
  EXPECT_EQ(found.entries, 4u);
  ASSERT_EQ(found.differences.size(), 2u);
  std::map<std::string, std::string> causes;
  for (const auto& d : found.differences) causes[d.cause] = d.prefix;
  EXPECT_EQ(causes["left over"], "100.64.0.0/10");
  EXPECT_EQ(causes["left over, with another metric"], "192.0.2.0/24");
  EXPECT_EQ(count(routes(), "metric"), 2u) << routes();
  std::map<std::string, std::uint64_t> counters;
  EXPECT_TRUE(eventually([&] {
    for (const auto& [name, value] : r.sink->counters()) counters[name] = value;
    return counters["kernel_audits"] == 2;
  })) << counters["kernel_audits"];
  EXPECT_EQ(counters["kernel_routes_added"], 2u);
  EXPECT_EQ(counters["kernel_routes_removed"], 2u);
  EXPECT_EQ(counters["kernel_audits_incomplete"], 0u);
  EXPECT_GE(counters["kernel_groups_set"], 1u);
}

TEST_F(KernelSinkTest, WhoAsksForAnAuditHearsAlsoWhenTheSinkEnds) {
  std::atomic<int> answers{0};
  int asked = 0;
  {
    Router r;
    r.controller.begin(DeltaKind::kFull).group(1, {"10.0.0.2%w0"}).set("192.0.2.0/24", 1).end();
    for (; asked < 500; ++asked) {  // more than it takes at once
      EXPECT_TRUE(r.sink->audit([&](const SinkAudit&) { ++answers; }));
    }
  }
  EXPECT_EQ(answers, asked);
}

// Others who ask while an audit is made do not take away what it has found.
TEST_F(KernelSinkTest, WhatAnAuditFoundIsToldToWhoAskedForIt) {
  Router r;
  Controller& c = r.controller;
  c.begin(DeltaKind::kFull).group(1, {"10.0.0.2%w0"});
  for (int i = 0; i < 20000; ++i) {
    c.set("10." + std::to_string(100 + i / 250) + "." + std::to_string(i % 250) + ".0/24", 1);
  }
  c.end();
  ASSERT_TRUE(r.right());
  must("ip route add 192.0.2.0/24 via 10.0.0.2 proto 68 metric 70");
  std::mutex mutex;
  SinkAudit first;
  std::atomic<bool> told{false};
  std::atomic<int> answers{0};
  EXPECT_TRUE(r.sink->audit([&](const SinkAudit& a) {
    const std::lock_guard lock(mutex);
    first = a;
    told = true;
  }));
  int asked = 0;
  for (; !told && asked < 60; ++asked) {
    EXPECT_TRUE(r.sink->audit([&](const SinkAudit&) { ++answers; }));
    ::usleep(500);  // meant to come while the first is made
  }
  EXPECT_TRUE(eventually([&] { return told && answers == asked; }));
  const std::lock_guard lock(mutex);
  EXPECT_TRUE(first.complete);
  ASSERT_EQ(first.differences.size(), 1u) << "asked beside it: " << asked;
  EXPECT_EQ(first.differences[0].prefix, "192.0.2.0/24");
  EXPECT_EQ(first.differences[0].cause, "left over");
}

TEST_F(KernelSinkTest, WithdrawnClassesAndManyRemovalsLeaveAtOnce) {
  Router r;
  Controller& c = r.controller;
  c.begin(DeltaKind::kFull).group(1, {"10.0.0.2%w0"}).group(2, {"10.0.1.2%w1"});
  c.group(3, {"unreachable"}).group(4, {"fd00:0::2%w0"});
  c.set("10.0.0.0/9", 2);
  std::vector<std::string> many;
  for (int i = 0; i < 6000; ++i) {
    many.push_back("10." + std::to_string(10 + i / 250) + "." + std::to_string(i % 250) + ".0/24");
    c.set(many.back(), i % 3 == 0 ? 2 : i % 3 == 1 ? 1 : 3);
    c.set("2001:db8:" + std::to_string(i) + "::/48", 4);
  }
  c.end();
  ASSERT_TRUE(r.right());
  ASSERT_EQ(count(routes(), "metric 70"), 12001u);
  // A large part of a class, a whole class, a class of plain routes.
  c.begin();
  for (std::size_t i = 0; i < many.size(); i += 3) c.remove(many[i]);
  c.withdraw(1).withdraw(4).end();
  EXPECT_EQ(count(routes(), "metric 70"), 2001u);
  EXPECT_EQ(r.sink->report().failed, 0u);
  EXPECT_TRUE(has(way("10.10.1.1"), "via 10.0.1.2"));  // the covering route
  c.drain();
  c.begin().withdraw(3).end();
  c.drain();
  EXPECT_TRUE(r.right());
  EXPECT_EQ(count(routes(), "metric 70"), 1u) << routes();
  EXPECT_EQ(count(run("ip nexthop show proto 68"), "id "), 2u) << run("ip nexthop show");
}

}  // namespace
}  // namespace dvr::kernel::test
