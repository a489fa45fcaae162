// Neighbours: which next hops answer. Pure: the kernel's neighbour table and links come in as
// facts, time as an argument, probes go out as a list.
//
// A next hop is dead when the kernel failed to resolve it (the traffic to it, or a probe, went
// unanswered) or its interface is down. It is alive again when it has answered for as long as a
// Hold says. With its interface up again it is asked at once; what needs no answer may tell
// nothing, so silence is enough when kSettle is over without a failure. What is dead stays
// watched, and is asked every second, also when no group wants it any more: else nobody would
// see it come back.
//
// Threading: one thread. Memory: bounded by kMost; what is beyond is not watched.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "sinks/kernel/hold.h"
#include "sinks/kernel/port.h"

namespace dvr::kernel {

class Neighbours {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr std::size_t kMost = 4096;
  static constexpr std::chrono::milliseconds kAgain{1000};
  // What groups do not hold any more is known for so long: with an interface its next hops go
  // first, and then comes the news of it.
  static constexpr std::chrono::milliseconds kGrace{2000};

  // Longer than the kernel takes to fail: three questions, a second each. IPv6 asks nobody
  // before its own address has passed duplicate detection, so the first may go unsent.
  static constexpr std::chrono::milliseconds kSettle{3500};

  // Between two probes of one that is used and alive; 0: none.
  using Every = std::function<std::chrono::milliseconds(const Neighbour&)>;

  explicit Neighbours(Every every) : every_(std::move(every)) {}

  // What `every` says has changed. Who is asked more or less often than before is asked at once.
  void reschedule(TimePoint now);

  // The next hops that groups want now; true: some are new, and the kernel may know of them.
  bool use(const std::set<Neighbour>& used, TimePoint now);
  // The kernel's news of one.
  void heard(const NeighbourFact& fact, TimePoint now);
  void link(std::uint32_t interface, bool usable, TimePoint now);

  // What is to be asked now.
  std::vector<Neighbour> due(TimePoint now);
  // Who has died or come back since the last call; true: alive.
  std::vector<std::pair<Neighbour, bool>> changes(TimePoint now);
  // When due() or changes() have something again, if nothing is heard before.
  [[nodiscard]] std::optional<TimePoint> next() const;

 private:
  struct State {
    bool used = false;
    bool dead = false;
    bool fixed = false;
    bool told = true;  // alive, as changes() said last
    std::chrono::milliseconds every{0};
    std::optional<TimePoint> answers;  // dead, but well since then
    std::optional<TimePoint> settles;  // dead with its interface, which is up: alive then
    TimePoint ask;                     // next
    TimePoint left;                    // when groups held it last
    Hold hold;
  };
  using Entry = std::pair<const Neighbour, State>;

  void fail(Entry& entry, TimePoint now);
  void recover(State& state, TimePoint now);
  [[nodiscard]] bool asks(const State& s) const {
    return s.dead || (s.used && !s.fixed && s.every.count() > 0);
  }

  const Every every_;
  std::map<Neighbour, State> all_;
  std::set<std::uint32_t> down_;  // interfaces
};

}  // namespace dvr::kernel
