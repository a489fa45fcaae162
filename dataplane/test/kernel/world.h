// A Mirror between a Fib and the model of a kernel.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "sinks/kernel/mirror.h"
#include "test/kernel/kernel_model.h"
#include "test/kernel/scene.h"

namespace dvr::kernel::test {

inline constexpr std::uint32_t kMetric = 70;

// Hands the Fib's calls to a Mirror at once.
class Link final : public FibListener {
 public:
  explicit Link(Mirror& mirror) : mirror_(mirror) {}
  void group_changed(std::uint32_t id, const ClassId& class_id,
                     std::span<const NextHop> hops) override {
    mirror_.want_group(id, class_id, {hops.begin(), hops.end()});
  }
  void prefix_set(const Prefix& p, std::uint32_t id) override { mirror_.want(p, id); }
  void prefix_removed(const Prefix& p) override { mirror_.unwant(p); }
  void class_released(std::uint32_t id, const ClassId&) override { mirror_.release(id); }
  void delta_ended(const Summary& s) override {
    mirror_.settle(false);
    if (!s.partial && !s.position.log_id.empty()) mirror_.complete();
    mirror_.settle(true);
  }

 private:
  Mirror& mirror_;
};

// A Fib, a Mirror and a model of a kernel.
class World {
 public:
  World() : kernel(kMetric), controller(fib) {
    for (std::uint32_t i : {2u, 3u, 4u}) kernel.up(i);
    for (int i = 1; i < 8; ++i) {
      kernel.on_link["10.0.0." + std::to_string(i)] = 2;
      kernel.on_link["fd00::" + std::to_string(i)] = 3;
    }
    start();
  }
  ~World() { fib.remove_listener(link.get()); }

  // A data plane with the Fib as it is.
  void start() {
    if (link) fib.remove_listener(link.get());
    mirror = std::make_unique<Mirror>(Place{254, kMetric}, true, kernel);
    for (const StoredClass& c : fib.classes()) mirror->want_group(c.id, c.class_id, c.hops);
    tell_links();
    mirror->set_nexthops(kernel.nexthops(), "");
    audit();
    fib.for_each4([&](const Prefix4& p, std::uint32_t id) { mirror->want(Prefix::of(p), id); });
    fib.for_each6([&](const Prefix6& p, std::uint32_t id) { mirror->want(Prefix::of(p), id); });
    mirror->settle(false);
    mirror->loaded();
    link = std::make_unique<Link>(*mirror);
    fib.add_listener(link.get());
  }

  void tell_links() {
    for (std::uint32_t i : {2u, 3u, 4u}) {
      mirror->set_link({i, "w" + std::to_string(i), false, kernel.usable.contains(i)});
    }
  }
  void audit() {
    mirror->begin_audit();
    for (const RouteFact& r : kernel.our_routes()) mirror->audit(r);
    mirror->end_audit(true);
  }
  void work() {
    while (mirror->work(7)) {
    }
  }
  // All that a sink does when it looks at everything.
  void resync() {
    tell_links();
    mirror->set_nexthops(kernel.nexthops(), "resync");
    audit();
    work();
    mirror->retry();
    work();
    if (mirror->doubts_nexthops()) mirror->set_nexthops(kernel.nexthops(), "resync");
    if (mirror->doubts_routes()) audit();
    mirror->retry();
    work();
    mirror->settle(true);
  }

  // Where a class's packets should go, "" where they cannot.
  [[nodiscard]] std::string expected(const std::vector<NextHop>& hops, std::uint8_t family) const {
    if (hops[0].type == NextHop::Type::kUnreachable) return "unreachable";
    if (hops[0].type == NextHop::Type::kProhibit) return "prohibit";
    std::map<std::string, unsigned> weights;
    for (const NextHop& h : hops) {
      std::string text = "blackhole@0";
      if (h.type == NextHop::Type::kUnicast) {
        if (family == 6 && h.address.family == 4) continue;
        std::uint32_t interface = 0;
        if (!h.interface.empty()) {
          interface = static_cast<std::uint32_t>(std::stoi(h.interface.substr(1)));
        } else if (const auto way = kernel.on_link.find(to_string(h.address));
                   way != kernel.on_link.end()) {
          interface = way->second;
        }
        if (!kernel.usable.contains(interface)) continue;
        text = to_string(h.address) + "@" + std::to_string(interface);
      }
      weights[text] += h.weight;
    }
    std::set<std::string> ways;
    for (const auto& [text, weight] : weights) ways.insert(text + "*" + std::to_string(weight));
    std::string all;
    for (const std::string& w : ways) all += w + " ";
    return all;
  }

  [[nodiscard]] std::string why(const Prefix& p) const {
    for (const SinkFailure& f : mirror->report().failures) {
      if (f.prefix == to_string(p)) return f.reason;
    }
    return "it is not told as failed";
  }

  static std::string reasons(const SinkReport& report) {
    std::string all;
    for (const SinkFailure& f : report.failures) all += f.prefix + ": " + f.reason + "\n";
    return all;
  }

  // The kernel has exactly what the Fib says, as far as it can, and foreign routes.
  void check() {
    std::map<std::uint32_t, std::vector<NextHop>> hops;
    for (const StoredClass& c : fib.classes()) hops[c.id] = c.hops;
    std::uint64_t failed = 0, installed = 0, kept = 0;
    std::set<Prefix, PrefixOrder> wanted;
    const auto look = [&](const Prefix& p, std::uint32_t id) {
      wanted.insert(p);
      const auto route = kernel.table.find({p, kMetric});
      const std::string right = expected(hops.at(id), p.address.family);
      const bool taken = route != kernel.table.end() && route->second.protocol != kProtocol;
      if (right.empty() || taken) {
        ++failed;
        // One that failed to change keeps the route it had.
        if (!taken && route != kernel.table.end()) ++kept;
        return;
      }
      ++installed;
      ASSERT_FALSE(route == kernel.table.end()) << to_string(p) << " has no route: " << why(p);
      EXPECT_EQ(kernel.way(route->second), right) << to_string(p);
    };
    fib.for_each4([&](const Prefix4& p, std::uint32_t id) { look(Prefix::of(p), id); });
    fib.for_each6([&](const Prefix6& p, std::uint32_t id) { look(Prefix::of(p), id); });
    for (const auto& [key, r] : kernel.table) {
      if (r.protocol != kProtocol) continue;
      EXPECT_TRUE(key.second == kMetric && wanted.contains(key.first))
          << to_string(key.first) << " is left over";
    }
    const SinkReport report = mirror->report();
    EXPECT_EQ(report.failed, failed) << reasons(report);
    EXPECT_GE(report.entries, installed);
    EXPECT_LE(report.entries, installed + kept);
    EXPECT_EQ(report.failures.size(), std::min<std::uint64_t>(failed, 100));
    if (failed == 0 && !report.deviates) {
      EXPECT_EQ(report.installed, fib.digest());
    }
    // Members that no group holds, groups that no class has.
    std::set<std::uint32_t> held;
    for (const auto& [id, o] : kernel.objects) {
      if (o.group) {
        for (const GroupEntry& e : o.entries) held.insert(e.member);
      }
    }
    for (const auto& [id, o] : kernel.objects) {
      if (o.protocol != kProtocol) continue;
      EXPECT_TRUE(o.group || held.contains(id)) << "next hop " << id << " is left over";
    }
  }

  // What it says is installed, of classes with a group: the kernel's routes to ours.
  void check_installed() {
    std::uint64_t ours = 0;
    for (const auto& [key, r] : kernel.table) ours += r.protocol == kProtocol ? 1 : 0;
    EXPECT_LE(mirror->report().entries, ours) << "it says more than there is";
  }

  Fib fib;
  KernelModel kernel;
  Controller controller;
  std::unique_ptr<Mirror> mirror;
  std::unique_ptr<Link> link;
};

}  // namespace dvr::kernel::test
