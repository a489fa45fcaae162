// The sink with the kernel: frames that go in at one veth pair's outer end and come out at
// another's.
//
//   p0 ── w0  10.0.0.1/24, fd00:0::1/64   the router   w1  10.0.1.1/24, fd00:1::1/64 ── p1
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <mutex>

#include "sinks/xdp/program.h"
#include "sinks/xdp/xdp_sink.h"
#include "test/kernel/scene.h"
#include "test/xdp/packets.h"

namespace dvr::xdp::test {
namespace {

using kernel::test::Controller;
using kernel::test::enter_namespace;
using kernel::test::eventually;
using kernel::test::must;
using kernel::test::run;
using std::chrono::milliseconds;

// For what comes, on a machine that has other things to do.
constexpr milliseconds kPatience{20000};

class Recorder final : public XdpObserver {
 public:
  void attached(const std::string& interface, bool native) override {
    const std::lock_guard lock(mutex_);
    attached_[interface] = native;
    ++attachments_;
  }
  void trouble(const std::string& what) override {
    const std::lock_guard lock(mutex_);
    troubles_ += what + "\n";
  }
  [[nodiscard]] std::map<std::string, bool> interfaces() const {
    const std::lock_guard lock(mutex_);
    return attached_;
  }
  [[nodiscard]] std::string troubles() const {
    const std::lock_guard lock(mutex_);
    return troubles_;
  }
  [[nodiscard]] int attachments() const {
    const std::lock_guard lock(mutex_);
    return attachments_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, bool> attached_;
  std::string troubles_;
  int attachments_ = 0;
};

// A place for pins, with a BPF file system that goes with it.
class PinPlace {
 public:
  PinPlace() {
    char name[] = "/tmp/dvr-xdp-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~PinPlace() {
    ::umount2(path_.c_str(), MNT_DETACH);
    ::rmdir(path_.c_str());
  }
  PinPlace(const PinPlace&) = delete;
  PinPlace& operator=(const PinPlace&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::size_t links() const {
    std::size_t n = 0;
    for (const auto& e : std::filesystem::recursive_directory_iterator(path_)) {
      n += e.path().filename().string().starts_with("link-") ? 1 : 0;
    }
    return n;
  }

 private:
  std::string path_;
};

// The outer end of a pair: frames in and out.
class Wire {
 public:
  explicit Wire(const std::string& name)
      : fd_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL))) {
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_ALL);
    at.sll_ifindex = static_cast<int>(::if_nametoindex(name.c_str()));
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  }
  ~Wire() { ::close(fd_); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  void send(const std::vector<std::uint8_t>& frame) const {
    EXPECT_EQ(::send(fd_, frame.data(), frame.size(), 0), static_cast<ssize_t>(frame.size()));
  }
  // Whether such a frame comes in before the time is over.
  template <class F>
  bool comes(F is, milliseconds time = kPatience) const {
    const auto until = std::chrono::steady_clock::now() + time;
    for (;;) {
      const auto left =
          std::chrono::duration_cast<milliseconds>(until - std::chrono::steady_clock::now());
      pollfd p{fd_, POLLIN, 0};
      if (left.count() < 0 || ::poll(&p, 1, static_cast<int>(left.count()) + 1) <= 0) return false;
      std::vector<std::uint8_t> frame(2048);
      sockaddr_ll from{};
      socklen_t size = sizeof from;
      const ssize_t n =
          ::recvfrom(fd_, frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
      if (n < 0 || from.sll_pkttype == PACKET_OUTGOING) continue;
      frame.resize(static_cast<std::size_t>(n));
      if (is(frame)) return true;
    }
  }

 private:
  int fd_;
};

void set_gro(const char* name) {
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  ethtool_value value{ETHTOOL_SGRO, 1};
  request.ifr_data = reinterpret_cast<char*>(&value);
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::ioctl(fd, SIOCETHTOOL, &request), 0);
  ::close(fd);
}

Mac mac_of(const char* name) {
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::ioctl(fd, SIOCGIFHWADDR, &request), 0);
  ::close(fd);
  Mac mac;
  std::memcpy(mac.data(), request.ifr_hwaddr.sa_data, 6);
  return mac;
}

class XdpSinkTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = enter_namespace(); !why.empty()) GTEST_SKIP() << why;
    if (const Status s = Program::possible(); !s.ok()) GTEST_SKIP() << s.message();
    // The kernel forwards nothing itself, so what comes out has gone through XDP.
    must("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    must("ip neigh replace 10.0.1.2 lladdr 02:00:00:00:02:07 dev w1 nud permanent");
    must("ip -6 neigh replace fd00:1::2 lladdr 02:00:00:00:02:08 dev w1 nud permanent");
    set_gro("p0");
    set_gro("p1");
    options_.interfaces = {"w0", "w1"};
    options_.bpffs = pins_.path();
    options_.tick = milliseconds(50);
    controller_ = std::make_unique<Controller>(fib_);
  }
  void TearDown() override {
    if (IsSkipped()) return;
    close();
    XdpSink::detach(pins_.path(), options_.table);
  }
  void open() {
    const Status s = XdpSink::open(options_, fib_, recorder_, &sink_);
    ASSERT_TRUE(s.ok()) << s.message();
    fib_.add_listener(sink_.get());
  }
  void close() {
    if (sink_) fib_.remove_listener(sink_.get());
    sink_.reset();
  }
  void two_routes() {
    controller_->begin()
        .group(1, {"10.0.1.2%w1"})
        .group(2, {"fd00:1::2"})
        .set("203.0.113.0/24", 1)
        .set("2001:db8:b::/48", 2)
        .end();
  }
  [[nodiscard]] std::uint64_t count(const std::string& name) const {
    for (const auto& [n, v] : sink_->counters()) {
      if (n == "xdp_" + name) return v;
    }
    ADD_FAILURE() << "no counter " << name;
    return 0;
  }
  [[nodiscard]] static Packet packet(const char* to, std::uint16_t id = 1) {
    Packet p;
    p.to = mac_of("w0");
    p.destination = parse_address(to).value();
    p.source = parse_address(p.destination.family == 4 ? "198.51.100.1" : "2001:db8:a::1").value();
    p.id = id;
    p.source_port = id;
    return p;
  }
  // A packet that goes in at p0 comes out at p1 for this neighbour.
  [[nodiscard]] bool crosses(const char* to, std::uint8_t n, milliseconds time = kPatience) {
    const Packet p = packet(to, ++number_);
    Packet expected = p;
    expected.to = {2, 0, 0, 0, 2, n};
    expected.from = mac_of("w1");
    --expected.ttl;
    const auto frame = expected.frame();
    const Wire in("p0"), out("p1");
    in.send(p.frame());
    return out.comes([&](const auto& f) { return f == frame; }, time);
  }

  // A packet that goes in at p0 comes out there again for this neighbour.
  [[nodiscard]] static bool returns(const char* to, std::uint8_t n) {
    const Wire in("p0");
    in.send(packet(to).frame());
    return in.comes([n](const auto& f) { return f[0] == 2 && f[4] == 2 && f[5] == n; },
                    milliseconds(50));
  }

  PinPlace pins_;
  XdpOptions options_;
  Recorder recorder_;
  Fib fib_;
  std::unique_ptr<Controller> controller_;
  std::unique_ptr<XdpSink> sink_;
  std::uint16_t number_ = 0;
};

TEST_F(XdpSinkTest, ForwardsWhatTheFibSays) {
  ASSERT_NO_FATAL_FAILURE(open());
  ASSERT_TRUE(eventually([&] { return sink_->serving(); })) << recorder_.troubles();
  EXPECT_EQ(recorder_.interfaces(), (std::map<std::string, bool>{{"w0", true}, {"w1", true}}));
  two_routes();
  const SinkReport report = sink_->report();
  EXPECT_EQ(report.installed, fib_.installed_digest());
  EXPECT_EQ(report.entries, 2u);
  EXPECT_EQ(report.failed, 0u);
  ASSERT_TRUE(eventually([&] { return crosses("203.0.113.9", 7, milliseconds(50)); }));
  // Its next hop names no interface: the connected prefix tells.
  ASSERT_TRUE(eventually([&] { return crosses("2001:db8:b::9", 8, milliseconds(50)); }));
  EXPECT_GT(count("forwarded_ipv4"), 0u);
  EXPECT_GT(count("forwarded_ipv6"), 0u);
  EXPECT_GT(count("group_" + kernel::test::class_of(1).hex() + "_packets"), 0u);
  EXPECT_EQ(count("interfaces_native"), 2u);

  // The other way: a prefix changes its group, and goes.
  controller_->begin().set("203.0.113.0/24", 2).end();
  EXPECT_TRUE(crosses("203.0.113.9", 8));
  controller_->begin().remove("203.0.113.0/24").end();
  const std::uint64_t before = count("passed_no_route");
  EXPECT_FALSE(crosses("203.0.113.9", 8, milliseconds(50)));
  EXPECT_EQ(count("passed_no_route"), before + 1);
  // A withdrawn class drops, until its prefixes have left.
  controller_->begin().withdraw(2).end();
  EXPECT_FALSE(crosses("2001:db8:b::9", 8, milliseconds(50)));
  EXPECT_EQ(count("dropped_withdrawn"), 1u);
  controller_->drain();
  EXPECT_EQ(sink_->report().entries, 0u);
  const std::uint64_t none = count("passed_no_route");
  EXPECT_FALSE(crosses("2001:db8:b::9", 8, milliseconds(50)));
  EXPECT_EQ(count("passed_no_route"), none + 1);
}

TEST_F(XdpSinkTest, LeavesToTheKernelWhatIsNotOurs) {
  ASSERT_NO_FATAL_FAILURE(open());
  two_routes();
  controller_->begin().set("0.0.0.0/0", 1).set("10.0.0.0/8", 1).end();
  ASSERT_TRUE(
      eventually([&] { return sink_->serving() && crosses("192.0.2.1", 7, milliseconds(50)); }));
  const auto passed = [&] { return count("passed_local_or_other_route"); };
  // The router's own address, its network's broadcast, a neighbour on a connected prefix.
  for (const char* to : {"10.0.1.1", "10.0.1.255", "10.0.1.77"}) {
    const std::uint64_t before = passed();
    const Wire in("p0");
    in.send(packet(to).frame());
    EXPECT_TRUE(eventually([&] { return passed() == before + 1; })) << to;
  }
  EXPECT_TRUE(crosses("10.9.9.9", 7));
  // A more specific route of somebody else comes and goes.
  must("ip route add 192.0.2.0/25 via 10.0.0.2 proto static");
  EXPECT_TRUE(eventually([&] {
    const std::uint64_t before = passed();
    const Wire in("p0");
    in.send(packet("192.0.2.1").frame());
    return eventually([&] { return passed() > before; }, milliseconds(50));
  }));
  EXPECT_TRUE(crosses("192.0.2.129", 7));
  must("ip route del 192.0.2.0/25");
  EXPECT_TRUE(eventually([&] { return crosses("192.0.2.1", 7, milliseconds(50)); }));
  // One with a worse metric than ours does not count.
  must("ip route add 203.0.113.0/24 via 10.0.0.2 metric 500");
  must("ip route add 192.0.2.0/25 via 10.0.0.2 proto static");
  EXPECT_TRUE(eventually([&] { return !crosses("192.0.2.1", 7, milliseconds(20)); }));
  EXPECT_TRUE(crosses("203.0.113.1", 7));
  // Forwarding is off, for what comes in by one interface, and for all.
  must("sysctl -qw net.ipv4.conf.w0.forwarding=0");
  EXPECT_TRUE(eventually([&] { return !crosses("203.0.113.1", 7, milliseconds(20)); }));
  must("sysctl -qw net.ipv4.conf.w0.forwarding=1");
  EXPECT_TRUE(eventually([&] { return crosses("203.0.113.1", 7, milliseconds(50)); }));
  must("sysctl -qw net.ipv4.ip_forward=0");
  EXPECT_TRUE(eventually([&] { return !crosses("203.0.113.1", 7, milliseconds(20)); }));
  EXPECT_GT(count("passed_forwarding_off"), 0u);
}

TEST_F(XdpSinkTest, NeighboursAreResolvedAndFollowed) {
  ASSERT_NO_FATAL_FAILURE(open());
  controller_->begin().group(1, {"10.0.1.50%w1"}).set("203.0.113.0/24", 1).end();
  // Nobody has sent a packet, but the kernel asks for the neighbour.
  const Wire out("p1");
  EXPECT_TRUE(out.comes([](const std::vector<std::uint8_t>& f) {
    return f.size() >= 42 && f[12] == 8 && f[13] == 6 && f[38] == 10 && f[40] == 1 && f[41] == 50;
  }));
  must("ip neigh replace 10.0.1.50 lladdr 02:00:00:00:02:21 dev w1");
  EXPECT_TRUE(eventually([&] { return crosses("203.0.113.1", 0x21, milliseconds(50)); }));
  must("ip neigh replace 10.0.1.50 lladdr 02:00:00:00:02:22 dev w1");
  EXPECT_TRUE(eventually([&] { return crosses("203.0.113.1", 0x22, milliseconds(50)); }));
  must("ip neigh del 10.0.1.50 dev w1");
  EXPECT_TRUE(eventually([&] { return !crosses("203.0.113.1", 0x22, milliseconds(20)); }));
  // Our own address changes.
  must("ip neigh replace 10.0.1.50 lladdr 02:00:00:00:02:23 dev w1");
  must("ip link set w1 address 02:00:00:00:01:99");
  must("ip neigh replace 10.0.1.50 lladdr 02:00:00:00:02:23 dev w1");
  EXPECT_TRUE(eventually([&] { return crosses("203.0.113.1", 0x23, milliseconds(50)); }));
}

TEST_F(XdpSinkTest, AConnectedPrefixMovesToAnotherInterface) {
  must("ip neigh replace 198.18.0.2 lladdr 02:00:00:00:02:30 dev w0 nud permanent");
  must("ip neigh replace 198.18.0.2 lladdr 02:00:00:00:02:31 dev w1 nud permanent");
  must("ip route add 198.18.0.0/24 dev w0");
  ASSERT_NO_FATAL_FAILURE(open());
  controller_->begin().group(1, {"198.18.0.2"}).set("203.0.113.0/24", 1).end();
  ASSERT_TRUE(eventually([&] { return returns("203.0.113.9", 0x30); }));
  must("ip route replace 198.18.0.0/24 dev w1");
  EXPECT_TRUE(eventually([&] { return crosses("203.0.113.9", 0x31, milliseconds(50)); }));
  // A better one comes and goes.
  must("ip route del 198.18.0.0/24");
  must("ip route add 198.18.0.0/24 dev w1 metric 20");
  must("ip route add 198.18.0.0/24 dev w0 metric 30");
  EXPECT_TRUE(eventually([&] { return crosses("203.0.113.9", 0x31, milliseconds(50)); }));
  must("ip route del 198.18.0.0/24 dev w1 metric 20");
  EXPECT_TRUE(eventually([&] { return returns("203.0.113.9", 0x30); }));
}

TEST_F(XdpSinkTest, RoutesGoWithTheirInterface) {
  must("ip neigh replace 198.18.0.2 lladdr 02:00:00:00:02:30 dev w0 nud permanent");
  must("ip neigh replace 198.18.0.2 lladdr 02:00:00:00:02:31 dev w1 nud permanent");
  must("ip route add 198.18.0.0/24 dev w0 metric 30");
  must("ip route add 198.18.0.0/24 dev w1 metric 20");
  ASSERT_NO_FATAL_FAILURE(open());
  controller_->begin()
      .group(1, {"198.18.0.2"})
      .group(2, {"198.18.0.2%w0"})
      .set("203.0.113.0/24", 1)
      .set("10.0.1.0/24", 2)
      .end();
  ASSERT_TRUE(eventually([&] { return crosses("203.0.113.9", 0x31, milliseconds(50)); }));
  EXPECT_FALSE(returns("10.0.1.9", 0x30));  // a connected prefix is the kernel's
  must("ip link set w1 down");
  EXPECT_TRUE(eventually([&] { return returns("203.0.113.9", 0x30); }));
  EXPECT_TRUE(eventually([&] { return returns("10.0.1.9", 0x30); }));
}

// The sink's sockets to the kernel: this process has no others.
struct Sockets {
  int news = -1, requests = -1;

  Sockets() {
    for (int fd = 0; fd < 1024; ++fd) {
      sockaddr_nl name{};
      socklen_t size = sizeof name;
      if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) continue;
      if (name.nl_family == AF_NETLINK) (name.nl_groups != 0 ? news : requests) = fd;
    }
  }
  // It holds a message or two, and loses what comes then.
  void starve() const {
    const int least = 1;
    EXPECT_EQ(::setsockopt(news, SOL_SOCKET, SO_RCVBUF, &least, sizeof least), 0);
  }
  // It hears no answer.
  void deafen() const {
    const timeval patience{0, 20000};
    EXPECT_EQ(::setsockopt(requests, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    sock_filter code[] = {{BPF_RET | BPF_K, 0, 0, 0}};
    const sock_fprog none{1, code};
    EXPECT_EQ(::setsockopt(requests, SOL_SOCKET, SO_ATTACH_FILTER, &none, sizeof none), 0);
  }
};

// One process and many news.
void flood(const std::string& before, const std::string& after) {
  char path[] = "/tmp/dvr-xdp-flood-XXXXXX";
  const int fd = ::mkstemp(path);
  ::close(fd);
  std::ofstream file(path);
  file << before;
  for (int i = 0; i < 300; ++i) {
    file << "route replace 198.19.0.0/24 via 10.0.0." << 2 + i % 2 << " metric 900\n";
  }
  file << after;
  file.close();
  must("ip -batch " + std::string(path));
  ::unlink(path);
}

TEST_F(XdpSinkTest, LostNewsAreMadeUpFor) {
  must("ip neigh replace 198.18.0.2 lladdr 02:00:00:00:02:31 dev w1 nud permanent");
  must("ip neigh replace 198.18.0.2 lladdr 02:00:00:00:02:30 dev w0 nud permanent");
  must("ip route add 198.18.0.0/24 dev w0");
  ASSERT_NO_FATAL_FAILURE(open());
  controller_->begin().group(1, {"198.18.0.2"}).set("203.0.113.0/24", 1).end();
  ASSERT_TRUE(eventually([&] { return sink_->serving(); }));
  Sockets().starve();
  // In one of many floods the prefix's move is lost.
  for (int i = 0; i < 10; ++i) {
    flood("", "route del 198.18.0.0/24\nroute add 198.18.0.0/24 dev w1\n");
    EXPECT_TRUE(eventually([&] { return crosses("203.0.113.9", 0x31, milliseconds(50)); }));
    flood("", "route del 198.18.0.0/24\nroute add 198.18.0.0/24 dev w0\n");
    EXPECT_TRUE(eventually([&] { return !crosses("203.0.113.9", 0x31, milliseconds(20)); }));
    if (HasFailure()) break;
  }
}

TEST_F(XdpSinkTest, WhatTheKernelDoesNotTellIsAskedAgain) {
  ASSERT_NO_FATAL_FAILURE(open());
  two_routes();
  ASSERT_TRUE(
      eventually([&] { return sink_->serving() && crosses("203.0.113.9", 7, milliseconds(50)); }));
  const Sockets sockets;
  sockets.deafen();
  sockets.starve();
  ASSERT_TRUE(eventually([&] {
    flood("", "neigh replace 10.0.1.2 lladdr 02:00:00:00:02:41 dev w1 nud permanent\n");
    return recorder_.troubles().find("does not tell") != std::string::npos;
  }));
  EXPECT_TRUE(eventually([&] { return crosses("203.0.113.9", 0x41, milliseconds(50)); }));
  EXPECT_TRUE(sink_->serving());
  // Nor was the fast path taken away meanwhile.
  EXPECT_EQ(recorder_.attachments(), 2);
}

TEST_F(XdpSinkTest, GoesOnWithoutTheProcessAndIsTakenOver) {
  ASSERT_NO_FATAL_FAILURE(open());
  two_routes();
  ASSERT_TRUE(
      eventually([&] { return sink_->serving() && crosses("203.0.113.9", 7, milliseconds(50)); }));
  close();
  EXPECT_EQ(pins_.links(), 2u);
  EXPECT_TRUE(crosses("203.0.113.9", 7));
  // With the same table: at once.
  options_.patience = milliseconds(3600'000);
  ASSERT_NO_FATAL_FAILURE(open());
  ASSERT_TRUE(eventually([&] { return sink_->serving(); }));
  EXPECT_TRUE(crosses("203.0.113.9", 7));
  EXPECT_EQ(pins_.links(), 2u);
  EXPECT_GT(count("forwarded_ipv4"), 0u);
  close();

  // With an older table: when a controller was heard.
  Fib empty;
  {
    std::unique_ptr<XdpSink> other;
    ASSERT_TRUE(XdpSink::open(options_, empty, recorder_, &other).ok());
    empty.add_listener(other.get());
    for (int i = 0; i < 5; ++i) {
      EXPECT_TRUE(crosses("203.0.113.9", 7));
      EXPECT_FALSE(other->serving());
    }
    Controller(empty)
        .begin(DeltaKind::kFull)
        .group(1, {"fd00:1::2%w1"})
        .set("203.0.113.0/24", 1)
        .end();
    ASSERT_TRUE(eventually([&] { return other->serving(); }));
    EXPECT_TRUE(eventually([&] { return crosses("203.0.113.9", 8, milliseconds(50)); }));
    empty.remove_listener(other.get());
  }
  // Or after a time.
  Fib none;
  options_.patience = milliseconds(100);
  std::unique_ptr<XdpSink> other;
  ASSERT_TRUE(XdpSink::open(options_, none, recorder_, &other).ok());
  EXPECT_TRUE(eventually([&] { return other->serving(); }));
  EXPECT_FALSE(crosses("203.0.113.9", 8, milliseconds(50)));
  other.reset();

  // Away with it.
  EXPECT_EQ(XdpSink::detach(pins_.path(), options_.table), 2u);
  EXPECT_EQ(pins_.links(), 0u);
  EXPECT_EQ(run("ip link show w0").find("xdp"), std::string::npos);
}

TEST_F(XdpSinkTest, WithoutAProcessForLongTheKernelForwards) {
  options_.lease = std::chrono::seconds(1);
  ASSERT_NO_FATAL_FAILURE(open());
  two_routes();
  ASSERT_TRUE(
      eventually([&] { return sink_->serving() && crosses("203.0.113.9", 7, milliseconds(50)); }));
  std::this_thread::sleep_for(milliseconds(2500));  // nothing tells that it is renewed
  EXPECT_TRUE(eventually([&] { return crosses("203.0.113.9", 7, milliseconds(50)); }));
  close();
  EXPECT_TRUE(eventually([&] { return !crosses("203.0.113.9", 7, milliseconds(20)); }));
  // Who takes over renews it.
  ASSERT_NO_FATAL_FAILURE(open());
  EXPECT_TRUE(eventually([&] { return crosses("203.0.113.9", 7, milliseconds(50)); }));
}

TEST_F(XdpSinkTest, AProgramOfSomebodyElsesIsLeftAlone) {
  // That of another table.
  XdpOptions others = options_;
  others.table = 100;
  others.interfaces = {"w1"};
  Fib fib;
  std::unique_ptr<XdpSink> other;
  ASSERT_TRUE(XdpSink::open(others, fib, recorder_, &other).ok());
  ASSERT_TRUE(eventually([&] { return other->serving(); }));
  Recorder mine;
  ASSERT_TRUE(XdpSink::open(options_, fib_, mine, &sink_).ok());
  fib_.add_listener(sink_.get());
  EXPECT_TRUE(eventually([&] { return mine.interfaces().contains("w0"); }));
  EXPECT_TRUE(eventually([&] {
    return mine.troubles().find("w1: attaching the XDP program: Device or resource busy") !=
           std::string::npos;
  })) << mine.troubles();
  EXPECT_FALSE(mine.interfaces().contains("w1"));
  // It goes, and is followed within a tick, without a word more.
  other.reset();
  EXPECT_EQ(XdpSink::detach(pins_.path(), others.table), 1u);
  EXPECT_TRUE(eventually([&] { return mine.interfaces().contains("w1"); }));
  const std::string said = mine.troubles();
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
}

TEST_F(XdpSinkTest, AnInterfaceThatIsOursNoMoreIsLeftAlone) {
  ASSERT_NO_FATAL_FAILURE(open());
  ASSERT_TRUE(eventually([&] { return sink_->serving(); }));
  close();
  options_.interfaces = {"w1"};
  ASSERT_NO_FATAL_FAILURE(open());
  ASSERT_TRUE(eventually([&] { return sink_->serving(); }));
  EXPECT_EQ(run("ip link show w0").find("xdp"), std::string::npos);
  EXPECT_NE(run("ip link show w1").find("xdp"), std::string::npos);
}

TEST_F(XdpSinkTest, TablesThatAreFullAreReplacedByLargerOnes) {
  options_.pool = 4096;
  ASSERT_NO_FATAL_FAILURE(open());
  two_routes();
  ASSERT_TRUE(
      eventually([&] { return sink_->serving() && crosses("203.0.113.9", 7, milliseconds(50)); }));
  const std::uint64_t before = count("generations");
  const std::string group = "group_" + kernel::test::class_of(1).hex() + "_packets";
  const std::uint64_t forwarded = count("forwarded_ipv4"), of_group = count(group);
  EXPECT_GT(of_group, 0u);
  controller_->begin();
  for (std::uint32_t i = 0; i < 2000; ++i) {
    controller_->set("20." + std::to_string(i / 250) + "." + std::to_string(i % 250) + "." +
                         std::to_string(i % 16 * 16) + "/29",
                     1 + i % 2);
  }
  controller_->end();
  EXPECT_GT(count("generations"), before);
  EXPECT_GT(count("table_bytes_limit"), 4096u);
  EXPECT_GE(count("forwarded_ipv4"), forwarded);
  EXPECT_GE(count(group), of_group);
  EXPECT_TRUE(crosses("20.7.9.241", 8));
  EXPECT_TRUE(crosses("20.7.8.226", 7));
  EXPECT_TRUE(crosses("203.0.113.9", 7));
  EXPECT_EQ(recorder_.troubles(), "");
}

TEST_F(XdpSinkTest, GenericWhereTheDriverCannot) {
  // A frame of this size does not fit into a page with XDP's room before it.
  must("ip link set w0 mtu 9000");
  must("ip link set p0 mtu 9000");
  ASSERT_NO_FATAL_FAILURE(open());
  two_routes();
  ASSERT_TRUE(eventually([&] {
    return sink_->serving() && crosses("203.0.113.9", 7, milliseconds(50));
  })) << recorder_.troubles();
  EXPECT_EQ(recorder_.interfaces(), (std::map<std::string, bool>{{"w0", false}, {"w1", true}}));
}

// What open() says in a process that bpf(2) or mount(2) answers so.
std::string refusal(const XdpOptions& options, Fib& fib, int call, std::uint32_t error) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    sock_filter code[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<std::uint32_t>(call)},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    const sock_fprog filter{static_cast<unsigned short>(std::size(code)), code};
    std::string said = "no filter";
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0) {
      Recorder recorder;
      std::unique_ptr<XdpSink> sink;
      said = XdpSink::open(options, fib, recorder, &sink).message();
    }
    [[maybe_unused]] const ssize_t n = ::write(ends[1], said.data(), said.size());
    std::_Exit(0);
  }
  ::close(ends[1]);
  std::string said(4096, '\0');
  const ssize_t n = ::read(ends[0], said.data(), said.size());
  said.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return said;
}

TEST_F(XdpSinkTest, WhatTheKernelLacksIsNamed) {
  const auto says = [&](int call, std::uint32_t error, const std::vector<std::string>& parts) {
    const std::string said = refusal(options_, fib_, call, error);
    for (const std::string& part : parts) {
      EXPECT_NE(said.find(part), std::string::npos) << said;
    }
    EXPECT_EQ(said.find('\n'), std::string::npos) << said;
  };
  says(SYS_mount, EPERM,
       {"no BPF file system at " + pins_.path(), "Operation not permitted", "--bpffs"});
  says(SYS_mount, ENODEV, {"CONFIG_BPF_SYSCALL"});
  says(SYS_bpf, ENOSYS, {"BPF cannot be used", "CONFIG_BPF_SYSCALL"});
  says(SYS_bpf, EPERM, {"BPF cannot be used", "CAP_BPF", "seccomp"});
}

TEST_F(XdpSinkTest, WhatIsWrongIsSaid) {
  options_.interfaces = {"w0", "nope"};
  std::unique_ptr<XdpSink> sink;
  const Status s = XdpSink::open(options_, fib_, recorder_, &sink);
  EXPECT_EQ(s.code(), Code::kInvalid);
  EXPECT_NE(s.message().find("nope"), std::string::npos);
  options_.interfaces = {"lo"};
  EXPECT_EQ(XdpSink::open(options_, fib_, recorder_, &sink).code(), Code::kInvalid);
  options_.interfaces = {};
  EXPECT_EQ(XdpSink::open(options_, fib_, recorder_, &sink).code(), Code::kInvalid);
  // A directory of somebody's is not hidden by a mount.
  options_.interfaces = {"w0"};
  ::umount2(pins_.path().c_str(), MNT_DETACH);
  const std::string file = pins_.path() + "/precious";
  std::ofstream(file) << "data";
  const Status full = XdpSink::open(options_, fib_, recorder_, &sink);
  EXPECT_EQ(full.code(), Code::kInvalid);
  EXPECT_NE(full.message().find("not empty"), std::string::npos) << full.message();
  EXPECT_EQ(::unlink(file.c_str()), 0);
}

}  // namespace
}  // namespace dvr::xdp::test
