// KernelSink keeps the Linux kernel's routes equal to the Fib, and keeps them so.
//
// The Fib's writer hands over what changes; a thread of the sink's own makes it so by
// netlink while the writer goes on. The end of a delta waits until the thread is there, so
// what an ack says of this sink is what the kernel has acknowledged. Between deltas the
// thread hears what others do to our routes, next hops and interfaces, repairs it, tries
// again what failed, and compares everything with the kernel once a minute.
//
// Routes outlive the process: the kernel forwards while the data plane restarts, and what is
// right is then left alone. Only routes and next hops with our protocol id, in our
// table, are ever changed; a route of another program that stands in the place of one of ours is
// a failure that is reported, unless it took that place while we watched.
//
// Threading: Sink's calls on the Fib's writer thread. The observer is called on the sink's
// thread. Memory: 32 bytes and less a prefix, twice that for IPv6.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "lib/fib.h"
#include "lib/status.h"
#include "sinks/sink.h"

namespace dvr {

struct KernelOptions {
  std::uint32_t table = 254;  // main
  std::uint32_t metric = 70;  // of every route: lower ones win over ours
  std::chrono::milliseconds audit_every{60000};
  std::size_t listen_bytes = std::size_t{32} << 20;
  // Between two probes of each next hop in use that probe() says nothing of, by the kernel's ARP
  // and neighbour discovery; 0: it is only heard what the traffic finds out.
  std::chrono::milliseconds probe_every{0};
  // Waits this long at most for the kernel before it looks for what to do.
  std::chrono::milliseconds tick{1000};
};

// KernelObserver hears what happens between deltas.
class KernelObserver {
 public:
  virtual ~KernelObserver() = default;
  // Routes that somebody changed are as they should be again; `prefix` is the shortest of them.
  virtual void restored(const Prefix& prefix, const std::string& cause, std::uint64_t count) = 0;
  // report() has changed.
  virtual void changed() = 0;
  // The state of an interface, or of a next hop that groups have: at first of every interface, then
  // as it changes. A next hop is up unless it was told to be down.
  virtual void link(const std::string& interface, bool up) {
    (void)interface;
    (void)up;
  }
  virtual void next_hop(const Address& address, const std::string& interface, bool up) {
    (void)address;
    (void)interface;
    (void)up;
  }
  // One sentence for the operator.
  virtual void trouble(const std::string& what) = 0;
};

class KernelSink final : public Sink {
 public:
  // Takes the table over from whom it was served by before, and adopts what the kernel has:
  // `fib` holds the saved table, and nobody writes to it before this returns. Errors: kIo (no
  // netlink, no permission), kLocked (another data plane serves the table).
  static Status open(const KernelOptions& options, Fib& fib, KernelObserver& observer,
                     std::unique_ptr<KernelSink>* out);
  // Ends the thread. The kernel keeps its routes.
  ~KernelSink() override;
  KernelSink(const KernelSink&) = delete;
  KernelSink& operator=(const KernelSink&) = delete;

  [[nodiscard]] std::string name() const override { return "kernel"; }
  // As of the last delta, or of what was repaired since.
  [[nodiscard]] SinkReport report() const override;
  // As of a second ago, or less.
  [[nodiscard]] SinkCounters counters() const override;
  // Cost: a read of all routes, 2 µs each, on the sink's thread and beside its other work.
  bool audit(std::function<void(SinkAudit)> done) override;
  // Before KernelOptions::probe_every, which holds for whom no probe holds. Asked are those whom
  // ARP or neighbour discovery finds.
  bool probe(const Probes& probes) override;

  void group_changed(std::uint32_t id, const ClassId& class_id,
                     std::span<const NextHop> hops) override;
  void prefix_set(const Prefix& p, std::uint32_t id) override;
  void prefix_removed(const Prefix& p) override;
  void class_released(std::uint32_t id, const ClassId& class_id) override;
  void delta_ended(const Summary& summary) override;

 private:
  class Impl;
  explicit KernelSink(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Kernel settings that matter to this sink, of this network namespace.
struct KernelTuning {
  // net.ipv4.nexthop_compat_mode is 0: fail-over does not depend on the number of prefixes.
  static bool fast_groups();
  static Status set_fast_groups();
  // net.ipv4.ip_forward and net.ipv6.conf.all.forwarding.
  static bool forwards(std::uint8_t family);
};

}  // namespace dvr
