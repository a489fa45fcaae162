// Packets that cross a router whose kernel the data plane's binary keeps: two hosts, the router
// between them in the test's own network namespace, a controller in the test.
//
//   host A  198.51.100.1, 2001:db8:a::1 ── 10.0.0.0/24 ── router ── 10.0.1.0/24 ── host B
//   203.0.113.1, 2001:db8:b::1
#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <atomic>
#include <set>

#include "fib.grpc.pb.h"
#include "test/kernel/scene.h"
#include "test/stream/rig.h"

namespace dvr::kernel::test {
namespace {

namespace pb = ::dvr::fib::v1;
using std::chrono::milliseconds;
using stream::Model;

// A controller that sends one full table to whoever subscribes.
class OneTable final : public pb::Fib::Service {
 public:
  explicit OneTable(const Model& model) : model_(model) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~OneTable() override { stop(); }
  void stop() {
    if (!server_) return;
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    server_.reset();
  }
  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  // The acks so far, and the last one.
  [[nodiscard]] int acks() const { return acks_.load(); }
  [[nodiscard]] pb::Ack last() const {
    const std::lock_guard lock(mutex_);
    return last_;
  }
  // What it heard of repairs.
  [[nodiscard]] std::vector<pb::Observation> repairs() const {
    const std::lock_guard lock(mutex_);
    return repairs_;
  }

 private:
  grpc::Status Subscribe(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<pb::ControllerMessage, pb::DataPlaneMessage>* s) override {
    pb::DataPlaneMessage in;
    if (!s->Read(&in) || !in.has_hello()) return grpc::Status::CANCELLED;
    s->Write(stream::Rig::welcome_message(model_.position()));
    for (const auto& chunk : model_.full(1)) {
      pb::ControllerMessage out;
      *out.mutable_delta() = chunk;
      s->Write(out);
    }
    while (s->Read(&in)) {
      const std::lock_guard lock(mutex_);
      if (in.observation().has_repair()) repairs_.push_back(in.observation());
      if (!in.has_ack()) continue;
      last_ = in.ack();
      ++acks_;
    }
    return grpc::Status::OK;
  }

  Model model_;
  int port_ = 0;
  std::atomic<int> acks_{0};
  mutable std::mutex mutex_;
  pb::Ack last_;
  std::vector<pb::Observation> repairs_;
  std::unique_ptr<grpc::Server> server_;
};

// A child process that goes with the test.
class Child {
 public:
  template <class F>
  explicit Child(F f) : pid_(::fork()) {
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    f();
    ::_exit(127);
  }
  ~Child() { kill(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

// A host: a network namespace that a child holds, with an end of a veth pair.
class Host {
 public:
  Host(const std::string& n, const std::string& own4, const std::string& own6)
      : child_([] {
          ::unshare(CLONE_NEWNET);
          for (;;) ::pause();
        }) {
    const std::string pid = std::to_string(child_.pid());
    char self[64], other[64];
    eventually([&] {
      const auto read = [](const std::string& path, char* to) {
        const ssize_t size = ::readlink(path.c_str(), to, 63);
        to[std::max<ssize_t>(size, 0)] = 0;
      };
      read("/proc/self/ns/net", self);
      read("/proc/" + pid + "/ns/net", other);
      return std::string(self) != other;
    });
    in_ = "nsenter -t " + pid + " -n ";
    must(in_ + "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0");
    must("ip link set p" + n + " netns " + pid);
    must(in_ + "ip link set lo up");
    must(in_ + "ip link set p" + n + " up");
    must(in_ + "ip addr add 10.0." + n + ".2/24 dev p" + n);
    must(in_ + "ip addr add fd00:" + n + "::2/64 dev p" + n + " nodad");
    must(in_ + "ip addr add " + own4 + "/32 dev lo");
    must(in_ + "ip addr add " + own6 + "/128 dev lo nodad");
    must(in_ + "ip route add default via 10.0." + n + ".1 src " + own4);
    must(in_ + "ip -6 route add default via fd00:" + n + "::1 src " + own6);
  }

  // A datagram socket of the host at its address.
  [[nodiscard]] int socket(const std::string& address) const {
    int fd = -1;
    std::thread([&] {
      const std::string path = "/proc/" + std::to_string(child_.pid()) + "/ns/net";
      const int space = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
      EXPECT_EQ(::setns(space, CLONE_NEWNET), 0);
      ::close(space);
      const auto [name, size] = name_of(address);
      fd = ::socket(name.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&name), size), 0) << address;
    }).join();
    return fd;
  }

  static std::pair<sockaddr_storage, socklen_t> name_of(const std::string& address) {
    sockaddr_storage name{};
    auto& four = reinterpret_cast<sockaddr_in&>(name);
    auto& six = reinterpret_cast<sockaddr_in6&>(name);
    if (::inet_pton(AF_INET, address.c_str(), &four.sin_addr) == 1) {
      four.sin_family = AF_INET;
      four.sin_port = htons(7);
      return {name, sizeof four};
    }
    ::inet_pton(AF_INET6, address.c_str(), &six.sin6_addr);
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(7);
    return {name, sizeof six};
  }

 private:
  Child child_;
  std::string in_;
};

// Numbered datagrams from A to B, which sends each back: what came back.
class Echo {
 public:
  Echo(const Host& a, const std::string& from, const Host& b, const std::string& to)
      : a_(a.socket(from)), b_(b.socket(to)), to_(Host::name_of(to)) {
    thread_ = std::thread([this] { serve(); });
  }
  ~Echo() {
    stop_ = true;
    thread_.join();
    ::close(a_);
    ::close(b_);
  }
  Echo(const Echo&) = delete;
  Echo& operator=(const Echo&) = delete;

  void send() {
    const std::uint32_t n = sent_++;
    ::sendto(a_, &n, sizeof n, 0, reinterpret_cast<const sockaddr*>(&to_.first), to_.second);
  }
  [[nodiscard]] std::uint32_t sent() const { return sent_; }
  // How many came back, after those on the way had time to.
  std::size_t back() {
    eventually([&] { return back_.load() == sent_; }, milliseconds(500));
    return back_.load();
  }

 private:
  void serve() {
    std::set<std::uint32_t> seen;
    while (!stop_) {
      pollfd fds[] = {{a_, POLLIN, 0}, {b_, POLLIN, 0}};
      ::poll(fds, 2, 20);
      std::uint32_t n = 0;
      sockaddr_storage from{};
      socklen_t size = sizeof from;
      while (::recvfrom(b_, &n, sizeof n, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from),
                        &size) == sizeof n) {
        ::sendto(b_, &n, sizeof n, 0, reinterpret_cast<const sockaddr*>(&from), size);
        size = sizeof from;
      }
      while (::recv(a_, &n, sizeof n, MSG_DONTWAIT) == sizeof n) {
        if (seen.insert(n).second) ++back_;
      }
    }
  }

  int a_, b_;
  std::pair<sockaddr_storage, socklen_t> to_;
  std::uint32_t sent_ = 0;
  std::atomic<std::size_t> back_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

TEST(ForwardingTest, PacketsCrossWhileDataPlaneAndControllerDie) {
  if (const std::string why = enter_namespace(); !why.empty()) GTEST_SKIP() << why;
  int status = 0;
  run("nsenter --version", &status);
  if (status != 0) GTEST_SKIP() << "needs nsenter";
  must("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
  const Host a("0", "198.51.100.1", "2001:db8:a::1");
  const Host b("1", "203.0.113.1", "2001:db8:b::1");

  Model model;
  model.group('a', hops({"10.0.0.2%w0"})).group('b', hops({"fd00:1::2%w1"}));
  model.group('c', hops({"fd00:0::2%w0"}));
  // To B over an IPv6 next hop, also IPv4 (RFC 8950).
  model.set("198.51.100.0/24", 'a').set("203.0.113.0/24", 'b');
  model.set("2001:db8:a::/48", 'c').set("2001:db8:b::/48", 'b');
  auto controller = std::make_unique<OneTable>(model);
  const stream::TemporaryDirectory directory;
  const auto data_plane = [&] {
    return std::make_unique<Child>([&] {
      const int log =
          ::open((directory.path() + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      ::dup2(log, STDERR_FILENO);
      ::dup2(log, STDOUT_FILENO);
      ::execl(DVR_DATAPLANE, DVR_DATAPLANE, "--router", "r1", "--sink", "kernel", "--tune-kernel",
              "--state-dir", (directory.path() + "/state").c_str(), "--listen",
              ("unix:" + directory.path() + "/local").c_str(), "--controller",
              controller->address().c_str(), nullptr);
    });
  };
  auto process = data_plane();
  ASSERT_TRUE(eventually([&] { return controller->acks() > 0; }))
      << run("cat " + directory.path() + "/log");
  // The ack tells what the kernel has.
  const pb::Ack ack = controller->last();
  ASSERT_EQ(ack.sinks_size(), 2);
  EXPECT_EQ(ack.sinks(1).name(), "kernel");
  EXPECT_EQ(ack.sinks(1).entries(), 4u);
  EXPECT_EQ(ack.sinks(1).installed(), model.digest().bytes());

  Echo four(a, "198.51.100.1", b, "203.0.113.1");
  Echo six(a, "2001:db8:a::1", b, "2001:db8:b::1");
  const auto flow = [&](milliseconds time) {
    const auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until) {
      four.send();
      six.send();
      ::usleep(1000);
    }
  };
  const auto lossless = [&](const char* during) {
    EXPECT_EQ(four.back(), four.sent()) << during;
    EXPECT_EQ(six.back(), six.sent()) << during;
  };
  flow(milliseconds(100));
  lossless("a quiet time");

  process->kill();  // -9
  flow(milliseconds(200));
  const int before = controller->acks();
  process = data_plane();
  ASSERT_TRUE(eventually([&] {
    flow(milliseconds(5));
    return controller->acks() > before;
  }));
  flow(milliseconds(100));
  lossless("a restart of the data plane");
  EXPECT_EQ(controller->last().sinks(1).entries(), 4u);
  EXPECT_EQ(controller->last().sinks(1).repaired(), 0u);

  // Somebody takes all our routes away: they come back, and the controller hears of it.
  must("ip nexthop flush proto 68");
  EXPECT_TRUE(eventually([&] {
    return run("ip route show proto 68; ip -6 route show proto 68").find("2001:db8:b::/48") !=
               std::string::npos &&
           !controller->repairs().empty();
  }));
  const auto told = controller->repairs();
  ASSERT_FALSE(told.empty());
  EXPECT_NE(told[0].repair().cause().find("next hops changed by "), std::string::npos)
      << told[0].repair().cause();

  // A path for new counts, now that some were lost; then the controller dies.
  ASSERT_TRUE(eventually([&] {
    const std::size_t had = four.back() + six.back();
    four.send();
    six.send();
    return eventually([&] { return four.back() + six.back() == had + 2; }, milliseconds(100));
  }));
  const std::size_t lost = four.sent() - four.back() + six.sent() - six.back();
  controller.reset();
  flow(milliseconds(500));
  EXPECT_EQ(four.sent() - four.back() + six.sent() - six.back(), lost) << "the controller's death";
}

}  // namespace
}  // namespace dvr::kernel::test
