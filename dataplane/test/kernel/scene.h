// A network namespace of the test's own, and a Fib that is driven as a controller would.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "lib/fib.h"
#include "sinks/kernel/kernel_sink.h"
#include "sinks/kernel/port.h"

namespace dvr::kernel::test {

// What a command prints; its status in *status.
inline std::string run(const std::string& command, int* status = nullptr) {
  std::string out;
  FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::array<char, 65536> buffer{};
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    out.append(buffer.data(), n);
  }
  const int result = ::pclose(pipe);
  if (status != nullptr) *status = result;
  return out;
}

inline void must(const std::string& command) {
  int status = 0;
  const std::string out = run(command, &status);
  EXPECT_EQ(status, 0) << command << ": " << out;
}

// Moves this process into an empty network namespace, which goes with it, with two
// interfaces to the outside: veth pairs w0 - p0 and w1 - p1. Why it cannot; empty: it did.
inline std::string enter_namespace() {
  if (::geteuid() != 0) return "needs root for a network namespace";
  if (::unshare(CLONE_NEWNET) != 0) return "no network namespaces here";
  int status = 0;
  run("ip link set lo up", &status);
  if (status != 0) return "needs iproute2";
  for (const char* n : {"0", "1"}) {
    const std::string i = n;
    must("ip link add w" + i + " type veth peer name p" + i);
    must("sysctl -qw net.ipv6.conf.w" + i + ".accept_dad=0");
    must("ip link set p" + i + " up");
    must("ip link set w" + i + " up");
    must("ip addr add 10.0." + i + ".1/24 dev w" + i);
    must("ip addr add fd00:" + i + "::1/64 dev w" + i + " nodad");
  }
  return "";
}

// Waits for what other processes and threads do.
template <class F>
bool eventually(F f, std::chrono::milliseconds patience = std::chrono::seconds(20)) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!f()) {
    if (std::chrono::steady_clock::now() > until) return false;
    ::usleep(1000);
  }
  return true;
}

inline ClassId class_of(std::uint32_t n) {
  return ClassId::from_bytes(murmur3(&n, sizeof n, 7).bytes()).value();
}

// "10.0.0.2", "10.0.0.2%w0", "%w0", "blackhole", "unreachable", "prohibit", each with "*weight".
inline NextHop hop(std::string text) {
  NextHop h;
  if (const auto star = text.find('*'); star != std::string::npos) {
    h.weight = static_cast<std::uint16_t>(std::stoi(text.substr(star + 1)));
    text.resize(star);
  }
  if (text == "blackhole") h.type = NextHop::Type::kBlackhole;
  if (text == "unreachable") h.type = NextHop::Type::kUnreachable;
  if (text == "prohibit") h.type = NextHop::Type::kProhibit;
  if (h.type != NextHop::Type::kUnicast) return h;
  if (const auto percent = text.find('%'); percent != std::string::npos) {
    h.interface = text.substr(percent + 1);
    text.resize(percent);
  }
  if (!text.empty()) h.address = parse_address(text).value();
  return h;
}

inline std::vector<NextHop> hops(const std::vector<std::string>& texts) {
  std::vector<NextHop> out;
  for (const std::string& t : texts) out.push_back(hop(t));
  canonicalize(&out);
  return out;
}

// Controller drives a Fib by deltas.
class Controller {
 public:
  explicit Controller(Fib& fib) : fib_(fib) {}

  Controller& begin(DeltaKind kind = DeltaKind::kIncremental) {
    EXPECT_TRUE(fib_.begin(kind).ok());
    return *this;
  }
  Controller& group(std::uint32_t n, const std::vector<std::string>& texts) {
    EXPECT_TRUE(fib_.define_class(n, class_of(n), "").ok());
    EXPECT_TRUE(fib_.set_group(n, hops(texts)).ok());
    return *this;
  }
  Controller& set(const std::string& prefix, std::uint32_t n) {
    EXPECT_TRUE(fib_.define_class(n, class_of(n), "").ok());
    const Prefix p = parse_prefix(prefix).value();
    const std::array<std::uint8_t, 1> length{p.length};
    const std::array<std::uint32_t, 1> index{n};
    if (p.address.family == 4) {
      EXPECT_TRUE(fib_.set4(std::array<std::uint32_t, 1>{p.address.as_v4()}, length, index).ok());
    } else {
      EXPECT_TRUE(fib_.set6(std::array<u128, 1>{p.address.bits}, length, index).ok());
    }
    return *this;
  }
  Controller& remove(const std::string& prefix) {
    const Prefix p = parse_prefix(prefix).value();
    const std::array<std::uint8_t, 1> length{p.length};
    if (p.address.family == 4) {
      EXPECT_TRUE(fib_.remove4(std::array<std::uint32_t, 1>{p.address.as_v4()}, length).ok());
    } else {
      EXPECT_TRUE(fib_.remove6(std::array<u128, 1>{p.address.bits}, length).ok());
    }
    return *this;
  }
  Controller& withdraw(std::uint32_t n) {
    EXPECT_TRUE(fib_.withdraw_group(class_of(n)).ok());
    return *this;
  }
  void end() { EXPECT_TRUE(fib_.end({"log", 1, ++revision_}, "n").ok()); }
  void drain() {
    while (fib_.step(1 << 16)) {
    }
  }

 private:
  Fib& fib_;
  std::uint64_t revision_ = 0;
};

// What the sink told.
class Observed final : public KernelObserver {
 public:
  void restored(const Prefix& prefix, const std::string& cause, std::uint64_t count) override {
    const std::lock_guard lock(mutex_);
    restorations_.push_back(to_string(prefix) + " " + std::to_string(count) + " " + cause);
  }
  void changed() override {}
  void link(const std::string& interface, bool up) override {
    const std::lock_guard lock(mutex_);
    states_[interface] = up;
    news_.push_back(interface + (up ? " up" : " down"));
  }
  void next_hop(const Address& address, const std::string& interface, bool up) override {
    const std::lock_guard lock(mutex_);
    states_[to_string(address) + "%" + interface] = up;
    news_.push_back(to_string(address) + "%" + interface + (up ? " up" : " down"));
  }
  void trouble(const std::string& what) override {
    const std::lock_guard lock(mutex_);
    troubles_.push_back(what);
  }
  [[nodiscard]] std::vector<std::string> restorations() const {
    const std::lock_guard lock(mutex_);
    return restorations_;
  }
  [[nodiscard]] std::vector<std::string> troubles() const {
    const std::lock_guard lock(mutex_);
    return troubles_;
  }

  // What is up (true) or down now, of what was told.
  [[nodiscard]] std::map<std::string, bool> states() const {
    const std::lock_guard lock(mutex_);
    return states_;
  }
  [[nodiscard]] std::vector<std::string> news() const {
    const std::lock_guard lock(mutex_);
    return news_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> restorations_, troubles_, news_;
  std::map<std::string, bool> states_;
};

// A Fib with the kernel sink at it.
struct Router {
  explicit Router(const KernelOptions& options = {}) : controller(fib) {
    const Status status = KernelSink::open(options, fib, observed, &sink);
    EXPECT_TRUE(status.ok()) << status.message();
    if (sink) fib.add_listener(sink.get());
  }
  ~Router() {
    if (sink) fib.remove_listener(sink.get());
  }
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // What it says is installed is what the Fib has.
  [[nodiscard]] bool right() const {
    const SinkReport r = sink->report();
    return r.failed == 0 && r.installed == fib.installed_digest() &&
           r.entries == fib.installed_entries();
  }

  Fib fib;
  Observed observed;
  std::unique_ptr<KernelSink> sink;
  Controller controller;
};

}  // namespace dvr::kernel::test
