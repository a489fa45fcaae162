// Keeper: the sink's thread's life: feeds the Mirror with what is wanted and with what the
// kernel tells, and decides what is done when.
//
// First comes what the Fib says, then repairs in steps, then the audit, read by read. What was
// heard is taken before each, so one change by somebody else is repaired within the time
// of a step whatever else goes on.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "sinks/kernel/feed.h"
#include "sinks/kernel/kernel_sink.h"
#include "sinks/kernel/listener.h"
#include "sinks/kernel/mirror.h"
#include "sinks/kernel/neighbours.h"
#include "sinks/kernel/netlink_port.h"

namespace dvr::kernel {

class Keeper {
 public:
  using Clock = std::chrono::steady_clock;

  // Opens its sockets: throws std::system_error.
  Keeper(const KernelOptions& options, KernelObserver& observer);
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  // Whether the kernel takes changes from this process.
  bool permitted();
  // Before run(): the saved table.
  void load(Batch saved);

  // Serves until stop().
  void run();
  void stop();  // any thread

  // The writer's.
  Feed& feed() { return feed_; }
  void wake();
  [[nodiscard]] SinkReport report() const;

  // Any thread; see Sink.
  [[nodiscard]] SinkCounters counters() const;
  bool audit(std::function<void(SinkAudit)> done);
  void probe(const Probes& probes);

 private:
  bool read_links();  // false: the kernel did not tell them
  void adopt();
  void listen();
  void heard(const News& news, Clock::time_point now);
  void heard_link(const LinkFact& link, Clock::time_point now);
  void take_link(const LinkFact& link, Clock::time_point now);
  void read_neighbours(Clock::time_point now);
  void look_at_nexthops(Clock::time_point now);
  void watch(Clock::time_point now);
  void schedule(Clock::time_point now);
  bool apply();
  void apply(const Batch& batch);
  void audit_step(Clock::time_point now);
  void start_audit(Clock::time_point now);
  void end_audit(bool sound);
  void answer(bool complete);
  void retry(Clock::time_point now);
  void tell();
  [[nodiscard]] SinkCounters count() const;
  void wait(Clock::time_point now);
  const std::string& name_of(std::uint32_t port);

  const KernelOptions options_;
  KernelObserver& observer_;
  const Place place_;
  NetlinkPort port_;
  Listener listener_;
  RouteDump dump_;
  Mirror mirror_;
  Neighbours neighbours_;
  Feed feed_;
  int wakeup_;
  std::atomic<bool> stopping_{false};
  Batch saved_;

  // An interface: one that has failed is used again when it was up for a while.
  struct Interface {
    std::string name;
    bool up = false;
    Hold hold;
    std::optional<LinkFact> waits;  // up since then, not taken for it yet
    Clock::time_point since;
  };
  std::map<std::uint32_t, Interface> interfaces_;  // by index
  bool groups_changed_ = true;                     // other next hops may be in use
  bool names_changed_ = false;                     // of interfaces
  Probes probes_;

  bool overrun_ = false;        // anything may have happened
  bool links_changed_ = false;  // or addresses: what failed may be possible now
  bool nexthops_changed_ = false;
  std::string why_;  // next hops are looked at
  bool auditing_ = false;
  Clock::time_point next_audit_;
  Clock::time_point earliest_audit_;
  Clock::time_point audit_began_;
  std::chrono::milliseconds audit_pause_;  // after one that was asked for
  Clock::time_point earliest_look_;        // at next hops
  Clock::time_point next_retry_;
  std::chrono::milliseconds pause_;             // between retries
  std::map<std::uint32_t, std::string> names_;  // of who did something in this round

  using Asker = std::function<void(SinkAudit)>;
  std::vector<Asker> served_;       // by the audit in progress
  unsigned vain_ = 0;               // audits for them that were not sound
  std::optional<bool> answerable_;  // whether all was compared; they wait for the repairs
  std::uint64_t audits_ = 0, unsound_ = 0, overruns_ = 0, news_ = 0, retries_ = 0;
  std::uint64_t probed_ = 0;
  std::atomic<bool> asking_{false};
  std::atomic<bool> reprobing_{false};  // new_probes_ wait to be taken

  mutable std::mutex mutex_;
  SinkReport report_;
  SinkCounters counters_;
  std::vector<Asker> asked_;  // waits for an audit to begin
  Probes new_probes_;
  bool ended_ = false;
};

}  // namespace dvr::kernel
