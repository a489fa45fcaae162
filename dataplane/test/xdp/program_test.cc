// The program in the kernel: golden packets by BPF_PROG_TEST_RUN, and its tables against a model.
#include "sinks/xdp/program.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <net/if.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <thread>

#include "sinks/xdp/groups.h"
#include "sinks/xdp/table.h"
#include "test/kernel/scene.h"
#include "test/tables.h"
#include "test/xdp/packets.h"

namespace dvr::xdp::test {
namespace {

using dvr::test::below;
using dvr::test::cut;
using dvr::test::Random;
using dvr::test::random_address;
using kernel::test::enter_namespace;
using kernel::test::hops;

constexpr int kDropped = 1, kPassed = 2, kRedirected = 4;

// A router with w0 and w1, whose tables the test fills itself.
class XdpProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = enter_namespace(); !why.empty()) GTEST_SKIP() << why;
    if (const Status s = Program::possible(); !s.ok()) GTEST_SKIP() << s.message();
    const Status s = Program::load({}, &program_);
    ASSERT_TRUE(s.ok()) << s.message();
    program_->live(std::chrono::hours(1));
    pool_ = std::make_unique<Pool>(program_->pool(), program_->sizes().pool,
                                   [this] { program_->grace(); });
    slots_ = std::make_unique<Slots>(program_->sizes().nexthops, [this] { program_->grace(); });
    auto* const set = program_->settings();
    table4_.render(program_->root4(), &set->default4, pool_.get());
    table6_.render(program_->root6(), &set->default6, pool_.get());
    groups_.render({program_->groups(), program_->sizes().groups, program_->nexthops(),
                    slots_.get(), pool_.get()});
    set->forwards = DVR_FORWARDS_4 | DVR_FORWARDS_6;
    for (std::uint32_t p = 0; p < 2; ++p) {
      const std::string name = "w" + std::to_string(p);
      const std::uint32_t index = ::if_nametoindex(name.c_str());
      groups_.set_link({index, false, name, true, true, own(p), 1500});
      ASSERT_TRUE(program_->set_port(p, index).ok());
      std::uint64_t word = 0;
      std::memcpy(&word, own(p).data(), 6);
      program_->ingress()[index & 4095] = word | std::uint64_t{index >> 12} << 48;
      index_[p] = index;
    }
  }

  static Mac own(std::uint32_t port) { return {2, 0, 0, 0, 1, static_cast<std::uint8_t>(port)}; }
  static Mac peer(std::uint8_t n) { return {2, 0, 0, 0, 2, n}; }

  void neighbour(std::uint32_t port, const char* address, std::uint8_t n) {
    groups_.set_neighbour({{index_[port], parse_address(address).value()},
                           NeighbourFact::State::kResolved,
                           false,
                           peer(n)});
    groups_.refresh();
  }
  void set(const char* prefix, std::uint32_t id) {
    const Prefix p = parse_prefix(prefix).value();
    if (p.address.family == 4) {
      table4_.set({p.address.as_v4(), p.length}, id + 1);
    } else {
      table6_.set({p.address.bits, p.length}, id + 1);
    }
    table4_.flush();
    table6_.flush();
  }
  // Two groups of one next hop, and a route to each.
  void two_routes() {
    neighbour(1, "10.0.1.2", 7);
    neighbour(1, "fd00:1::2", 8);
    groups_.set(1, hops({"10.0.1.2%w1"}));
    groups_.set(2, hops({"fd00:1::2%w1"}));
    set("203.0.113.0/24", 1);
    set("2001:db8:b::/48", 2);
  }
  [[nodiscard]] std::uint64_t count(int reason) const {
    return program_->reasons()[static_cast<std::size_t>(reason)];
  }

  // The packet is passed, for this reason, and nothing of it has changed.
  void passes(const Packet& packet, int reason, int verdict = kPassed) {
    const std::uint64_t before = count(reason);
    std::vector<std::uint8_t> frame = packet.frame();
    EXPECT_EQ(program_->run(&frame, index_[0]), verdict);
    EXPECT_EQ(frame, packet.frame());
    EXPECT_EQ(count(reason), before + 1) << reason;
  }
  // The packet leaves towards a peer: all else but time to live and checksum is as it was.
  void leaves(const Packet& packet, std::uint32_t port, std::uint8_t n) {
    std::vector<std::uint8_t> frame = packet.frame();
    ASSERT_EQ(program_->run(&frame, index_[0]), kRedirected);
    Packet expected = packet;
    expected.to = peer(n);
    expected.from = own(port);
    --expected.ttl;
    EXPECT_EQ(frame, expected.frame());
  }
  [[nodiscard]] Packet packet4() const {
    Packet p;
    p.to = own(0);
    p.source = parse_address("198.51.100.1").value();
    p.destination = parse_address("203.0.113.9").value();
    return p;
  }
  [[nodiscard]] Packet packet6() const {
    Packet p;
    p.to = own(0);
    p.source = parse_address("2001:db8:a::1").value();
    p.destination = parse_address("2001:db8:b::9").value();
    return p;
  }

  std::unique_ptr<Program> program_;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<Slots> slots_;
  Table4 table4_{std::size_t{256} << 20};
  Table6 table6_{std::size_t{256} << 20};
  Groups groups_{{"w0", "w1"}};
  std::array<std::uint32_t, 2> index_{};
};

TEST_F(XdpProgramTest, ForwardsWithMacsTtlAndChecksum) {
  two_routes();
  for (const int ttl : {2, 3, 64, 255}) {
    for (std::uint16_t id = 0; id < 300; ++id) {  // checksums of all sorts
      Packet p = packet4();
      p.ttl = static_cast<std::uint8_t>(ttl);
      p.id = static_cast<std::uint16_t>(id * 219);
      leaves(p, 1, 7);
    }
    Packet p = packet6();
    p.ttl = static_cast<std::uint8_t>(ttl);
    leaves(p, 1, 8);
  }
  EXPECT_EQ(count(DVR_FORWARDED4), 4u * 300);
  EXPECT_EQ(count(DVR_FORWARDED6), 4u);
  const auto traffic = program_->traffic(8);
  ASSERT_EQ(traffic.size(), 8u);
  EXPECT_EQ(traffic[2].packets, 4u * 300);
  EXPECT_EQ(traffic[2].bytes, static_cast<unsigned>(4 * 300 * packet4().length()));
  EXPECT_EQ(traffic[3].packets, 4u);
  program_->clear_traffic(2);
  EXPECT_EQ(program_->traffic(8)[2].packets, 0u);
}

TEST_F(XdpProgramTest, AlsoIPv4OverAnIPv6NextHop) {
  two_routes();
  set("198.18.0.0/15", 2);
  Packet p = packet4();
  p.destination = parse_address("198.18.0.1").value();
  leaves(p, 1, 8);
}

TEST_F(XdpProgramTest, EverythingElseIsTheKernels) {
  two_routes();
  const auto with = [](Packet p, auto change) {
    change(p);
    return p;
  };
  for (const Packet& p : {packet4(), packet6()}) {
    passes(with(p, [](Packet& q) { q.ttl = 1; }), DVR_PASS_TTL);
    passes(with(p, [](Packet& q) { q.ttl = 0; }), DVR_PASS_TTL);
    passes(with(p, [](Packet& q) { q.to = peer(99); }), DVR_PASS_MAC);
    passes(with(p, [](Packet& q) { q.to = {255, 255, 255, 255, 255, 255}; }), DVR_PASS_MAC);
    passes(with(p, [](Packet& q) { q.vlan = true; }), DVR_PASS_PROTOCOL);
    passes(with(p, [](Packet& q) { q.payload = 1600; }), DVR_PASS_TOO_BIG);
    passes(with(p, [](Packet& q) { q.cut = 1; }), DVR_PASS_MALFORMED);
    leaves(with(p, [](Packet& q) { q.padding = 20; }), 1, p.destination.family == 4 ? 7 : 8);
  }
  const int most = 1500;
  leaves(with(packet4(), [&](Packet& q) { q.payload += most - q.length(); }), 1, 7);
  passes(with(packet4(), [&](Packet& q) { q.payload += most + 1 - q.length(); }), DVR_PASS_TOO_BIG);
  leaves(with(packet6(), [&](Packet& q) { q.payload += most - q.length(); }), 1, 8);
  passes(with(packet6(), [&](Packet& q) { q.payload += most + 1 - q.length(); }), DVR_PASS_TOO_BIG);

  passes(with(packet4(), [](Packet& q) { q.options = true; }), DVR_PASS_OPTIONS);
  passes(with(packet6(), [](Packet& q) { q.options = true; }), DVR_PASS_OPTIONS);
  passes(with(packet4(), [](Packet& q) { q.bad_checksum = true; }), DVR_PASS_MALFORMED);
  for (const char* source : {"0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "255.255.255.255"}) {
    passes(with(packet4(), [&](Packet& q) { q.source = parse_address(source).value(); }),
           DVR_PASS_SOURCE);
  }
  leaves(with(packet4(), [&](Packet& q) { q.source = parse_address("223.255.0.1").value(); }), 1,
         7);
  leaves(with(packet4(), [&](Packet& q) { q.source = parse_address("1.0.0.1").value(); }), 1, 7);
  for (const char* source : {"::", "::1", "ff02::1", "fe80::1"}) {
    passes(with(packet6(), [&](Packet& q) { q.source = parse_address(source).value(); }),
           DVR_PASS_SOURCE);
  }
  passes(with(packet4(), [](Packet& q) { q.destination = parse_address("192.0.2.1").value(); }),
         DVR_PASS_NO_ROUTE);
  passes(with(packet6(), [](Packet& q) { q.destination = parse_address("2001:db8:c::1").value(); }),
         DVR_PASS_NO_ROUTE);
  set("0.0.0.0/0", 1);
  set("::/0", 2);
  for (const char* to : {"127.0.0.1", "224.0.0.5", "255.255.255.255", "0.0.0.1"}) {
    passes(with(packet4(), [&](Packet& q) { q.destination = parse_address(to).value(); }),
           DVR_PASS_OTHER);
  }
  for (const char* to : {"::1", "ff02::5", "fe80::1", "::ffff:1.2.3.4"}) {
    passes(with(packet6(), [&](Packet& q) { q.destination = parse_address(to).value(); }),
           DVR_PASS_OTHER);
  }
  leaves(with(packet4(), [](Packet& q) { q.destination = parse_address("192.0.2.1").value(); }), 1,
         7);
  leaves(with(packet6(), [](Packet& q) { q.destination = parse_address("2001:db8:c::1").value(); }),
         1, 8);
  // An address of ours in a prefix of ours.
  table4_.set_other({parse_address("203.0.113.9").value().as_v4(), 32}, false);
  table4_.flush();
  passes(packet4(), DVR_PASS_OTHER);
  program_->settings()->forwards = 0;
  passes(packet4(), DVR_PASS_OFF);
  passes(packet6(), DVR_PASS_OFF);
}

TEST_F(XdpProgramTest, WhatNobodyFollowsIsTheKernels) {
  two_routes();
  // The lease is at an end, also across the wrap of its ticks.
  for (const int lease : {-3, -5000, -1'000'000'000}) {
    program_->live(std::chrono::seconds(lease));
    passes(packet4(), DVR_PASS_ABANDONED);
    passes(packet6(), DVR_PASS_ABANDONED);
  }
  program_->live(std::chrono::seconds(30));
  leaves(packet4(), 1, 7);
  leaves(packet6(), 1, 8);
}

TEST_F(XdpProgramTest, FramesOfAnyLengthAreNoTrouble) {
  two_routes();
  Random r(4);
  for (const Packet& p : {packet4(), packet6()}) {
    const std::vector<std::uint8_t> whole = p.frame();
    for (std::size_t n = 14; n < whole.size(); ++n) {
      std::vector<std::uint8_t> frame(whole.begin(),
                                      whole.begin() + static_cast<std::ptrdiff_t>(n));
      EXPECT_EQ(program_->run(&frame, index_[0]), kPassed) << n;
    }
    for (int i = 0; i < 2000; ++i) {
      std::vector<std::uint8_t> frame = whole;
      frame[14 + dvr::test::below(r, frame.size() - 14)] = static_cast<std::uint8_t>(r());
      EXPECT_GE(program_->run(&frame, index_[0]), kDropped);
    }
  }
}

TEST_F(XdpProgramTest, GroupsDecide) {
  two_routes();
  groups_.set(3, hops({"blackhole"}));
  groups_.set(4, hops({"unreachable"}));
  groups_.set(5, {});
  groups_.set(6, hops({"10.0.1.77%w1"}));
  struct Case {
    std::uint32_t id;
    int reason, verdict;
  };
  for (const Case& c :
       {Case{3, DVR_DROP_BLACKHOLE, kDropped}, Case{4, DVR_PASS_UNREACHABLE, kPassed},
        Case{5, DVR_DROP_WITHDRAWN, kDropped}, Case{6, DVR_PASS_UNRESOLVED, kPassed}}) {
    set("203.0.113.0/24", c.id);
    set("2001:db8:b::/48", c.id);
    passes(packet4(), c.reason, c.verdict);
    passes(packet6(), c.reason, c.verdict);
  }
  neighbour(1, "10.0.1.77", 77);
  leaves(packet4(), 1, 77);
  // Its interface is no port any more.
  ASSERT_TRUE(program_->set_port(1, 0).ok());
  passes(packet4(), DVR_PASS_PORT);
  // Packets of an interface that is not ours.
  program_->ingress()[index_[0] & 4095] = 0;
  passes(packet4(), DVR_PASS_INTERFACE);
}

// Which of the group's next hops a packet goes to.
TEST_F(XdpProgramTest, FlowsSpreadAndFragmentsStayTogether) {
  neighbour(1, "10.0.1.2", 1);
  neighbour(1, "10.0.1.3", 2);
  neighbour(0, "10.0.0.4", 3);
  groups_.set(1, hops({"10.0.1.2%w1", "10.0.1.3%w1", "10.0.0.4%w0*2"}));
  set("203.0.113.0/24", 1);
  set("2001:db8:b::/48", 1);
  const auto way = [&](const Packet& p) {
    std::vector<std::uint8_t> frame = p.frame();
    EXPECT_EQ(program_->run(&frame, index_[0]), kRedirected);
    return frame[5];
  };
  for (Packet p : {packet4(), packet6()}) {
    std::map<int, int> by_port, by_fragment, by_source;
    for (std::uint16_t port = 0; port < 4000; ++port) {
      p.source_port = static_cast<std::uint16_t>(port * 7);
      ++by_port[way(p)];
      if (port < 20) {
        EXPECT_EQ(way(p), way(p));
      }
    }
    EXPECT_NEAR(by_port[1], 1000, 150);
    EXPECT_NEAR(by_port[2], 1000, 150);
    EXPECT_NEAR(by_port[3], 2000, 200);
    // Any fragment goes by addresses and protocol, whether it has ports in it or not.
    for (const int fragment : {0x2000, 0x2001, 0x0005}) {
      for (std::uint16_t port = 0; port < 50; ++port) {
        p.source_port = port;
        p.fragment = static_cast<std::uint16_t>(fragment);
        ++by_fragment[way(p)];
      }
    }
    EXPECT_EQ(by_fragment.size(), 1u);
    p.fragment = 0;
    p.protocol = 1;  // no ports: bytes there are of no consequence
    for (std::uint16_t port = 0; port < 50; ++port) {
      p.source_port = port;
      ++by_source[way(p)];
    }
    EXPECT_EQ(by_source.size(), 1u);
    for (std::uint32_t i = 0; i < 100; ++i) {
      p.source.bits += 1;
      ++by_source[way(p)];
    }
    EXPECT_EQ(by_source.size(), 3u);
  }
}

// What the program finds is what a slow model finds, while the table changes.
template <class P>
void same_as_model(Table<P>& table, dvr::test::Model<P>& model, std::uint32_t ids,
                   const std::function<int(typename P::Address)>& way) {
  using A = typename P::Address;
  Random r(P::kWidth + ids);
  const auto prefix = [&] {
    A a = random_address<A>(r);
    int length = 8 + static_cast<int>(below(r, P::kWidth - 7));
    if constexpr (P::kWidth == 32) {
      a = (a & 0x00ffffff) | (20 + static_cast<A>(below(r, 3))) << 24;
    } else {
      a = a >> 12 | static_cast<A>(0x200) << 116;
      if (below(r, 2) == 0) length = std::min(length, 64);
    }
    return cut<P>(a, length);
  };
  for (int round = 0; round < 12; ++round) {
    std::vector<P> touched;
    for (int i = 0; i < 400; ++i) {
      if (below(r, 3) == 0 && !model.entries().empty()) {
        touched.push_back(model.pick(r));
        table.erase(touched.back());
        model.erase(touched.back());
      } else {
        touched.push_back(prefix());
        const auto id = 2 + static_cast<std::uint32_t>(below(r, ids));
        table.set(touched.back(), id);
        model.set(touched.back(), id);
      }
    }
    table.flush();
    for (const P& p : touched) {
      for (const A a : dvr::test::edges(p)) {
        if (a >> (P::kWidth - 8) == 0 || a >> (P::kWidth - 8) == 0xff) continue;
        ASSERT_EQ(way(a), static_cast<int>(model.lookup(a).id)) << to_string(Prefix::of(p));
      }
    }
  }
}

TEST_F(XdpProgramTest, FindsWhatTheModelFinds) {
  // The destination's MAC address tells the group: 255 of them, and ids of two bytes.
  for (std::uint32_t id = 1; id <= 700; ++id) {
    const std::string address =
        "10.0." + std::to_string(id / 250) + "." + std::to_string(id % 250 + 1);
    groups_.set_neighbour(
        {{index_[1], parse_address(address).value()},
         NeighbourFact::State::kResolved,
         false,
         {2, 0, 0, 0, static_cast<std::uint8_t>(id >> 8), static_cast<std::uint8_t>(id)}});
    groups_.set(id, hops({address + "%w1"}));
  }
  groups_.refresh();
  const auto find = [&](Packet p) {
    std::vector<std::uint8_t> frame = p.frame();
    return program_->run(&frame, index_[0]) == kRedirected ? (frame[4] << 8 | frame[5]) + 1 : 0;
  };
  dvr::test::Model<Prefix4> model4;
  dvr::test::Model<Prefix6> model6;
  for (const std::uint32_t ids : {50u, 700u}) {
    ASSERT_NO_FATAL_FAILURE(same_as_model<Prefix4>(table4_, model4, ids, [&](std::uint32_t a) {
      Packet p = packet4();
      p.destination = Address::v4(a);
      return find(p);
    }));
    ASSERT_NO_FATAL_FAILURE(same_as_model<Prefix6>(table6_, model6, ids, [&](u128 a) {
      Packet p = packet6();
      p.destination = Address::v6(a);
      return find(p);
    }));
  }
}

// The kernel's own word: the update of a map of maps returns after an RCU grace period only.
TEST_F(XdpProgramTest, GraceWaits) {
  std::vector<double> times;
  for (int i = 0; i < 5; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    program_->grace();
    times.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
            .count());
  }
  // A system call that does not wait takes microseconds.
  EXPECT_GT(*std::max_element(times.begin(), times.end()), 0.2);
}

// Packets at full speed beside a writer that reuses memory all the time: never a wrong group.
TEST_F(XdpProgramTest, PacketsBesideAWriterNeverMeetReusedMemory) {
  neighbour(1, "10.0.1.2", 1);
  neighbour(1, "10.0.1.3", 2);
  groups_.set(1, hops({"10.0.1.2%w1"}));
  groups_.set(2, hops({"10.0.1.3%w1"}));
  // 20.1/16 has one answer whatever happens around it, by way of nodes that come and go.
  set("20.1.0.0/16", 1);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> packets{0}, wrong{0};
  std::thread reader([&] {
    Random r(1);
    while (!stop) {
      Packet p = packet4();
      p.destination = Address::v4(0x14010000 | (static_cast<std::uint32_t>(r()) & 0x3f00));
      std::vector<std::uint8_t> frame = p.frame();
      wrong += program_->run(&frame, index_[0]) != kRedirected || frame[5] != 1 ? 1 : 0;
      ++packets;
    }
  });
  Random r(2);
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(1500);
  while (std::chrono::steady_clock::now() < until) {
    // Longer prefixes of the other group at addresses that no packet has, so that nodes are
    // rebuilt.
    const Prefix4 p = cut<Prefix4>(0x14010000 | (static_cast<std::uint32_t>(r()) & 0x3fff) | 0xff,
                                   25 + static_cast<int>(below(r, 8)));
    if ((p.address & 0xff) == 0) continue;
    table4_.set(p, 3);
    table4_.flush();
    table4_.erase(p);
    table4_.flush();
    if (pool_->waiting() > 4096) {
      const auto taken = pool_->take_retired();
      program_->grace();
      pool_->give_back(taken);
    }
  }
  stop = true;
  reader.join();
  EXPECT_GT(packets.load(), 100u);
  EXPECT_EQ(wrong.load(), 0u);
}

}  // namespace
}  // namespace dvr::xdp::test
