// Where a data plane installs its FIB.
//
// A sink listens to the Fib and keeps something equal to it: the lookup engine
// in memory, the kernel's tables, XDP maps. What it could not install it counts
// and reports; it never stops the Fib.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "lib/digest.h"
#include "lib/fib.h"
#include "sinks/probes.h"

namespace dvr {

struct SinkFailure {
  std::string prefix;
  std::string reason;
};

// SinkReport is the content of an ack about one sink.
struct SinkReport {
  Digest installed;
  std::uint64_t entries = 0;
  std::uint64_t failed = 0;
  std::vector<SinkFailure> failures;  // the first 100
  std::uint64_t repaired = 0;
  BucketBitmap failed_buckets{};  // meaningful when failed > 0
  // A group forwards without a next hop that cannot be used for now.
  bool deviates = false;
};

// SinkAudit is what comparing a sink with what it should have came to.
struct SinkAudit {
  struct Difference {
    std::string prefix;  // the shortest of them
    std::string cause;
    std::uint64_t count = 0;
  };
  // Else it changed all the time while it was read, too many asked, or the sink ended.
  bool complete = false;
  std::uint64_t entries = 0;  // compared
  std::vector<Difference> differences;
  std::uint64_t failed = 0;  // what is not installed after it
  std::chrono::milliseconds took{0};
};

// SinkCounters count since the sink was opened; the names are the sink's own.
using SinkCounters = std::vector<std::pair<std::string, std::uint64_t>>;

// Sink: calls on the Fib's writer thread, unless they say otherwise.
class Sink : public FibListener {
 public:
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual SinkReport report() const = 0;
  // Any thread.
  [[nodiscard]] virtual SinkCounters counters() const { return {}; }
  // Compares all that the sink keeps outside of this process, sets right what differs, and calls
  // done once: on a thread of the sink's, which it must not hold up, at the latest when the
  // sink ends; where too many ask, at once. False: there is nothing to compare. Any thread.
  virtual bool audit(std::function<void(SinkAudit)> done) {
    (void)done;
    return false;
  }
  // From now on next hops that groups use are asked as the probes say; one that does not answer
  // leaves its groups until it does. False: this sink asks nobody. Any thread.
  virtual bool probe(const Probes& probes) {
    (void)probes;
    return false;
  }
};

// MemorySink is the Fib's own lookup engine seen as a sink: what the Fib took
// is installed, so it reports the Fib's installed digest and never fails.
class MemorySink final : public Sink {
 public:
  explicit MemorySink(const Fib& fib) : fib_(fib) {}

  [[nodiscard]] std::string name() const override { return "memory"; }
  [[nodiscard]] SinkReport report() const override;

  void group_changed(std::uint32_t, const ClassId&, std::span<const NextHop>) override {}
  void prefix_set(const Prefix&, std::uint32_t) override {}
  void prefix_removed(const Prefix&) override {}
  void class_released(std::uint32_t, const ClassId&) override {}
  void delta_ended(const Summary&) override {}

 private:
  const Fib& fib_;
};

}  // namespace dvr
