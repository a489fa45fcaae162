// Where a data plane installs its FIB.
//
// A sink listens to the Fib and keeps something equal to it: the lookup engine
// in memory, the kernel's tables, XDP maps. What it could not install it counts
// and reports; it never stops the Fib.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/digest.h"
#include "lib/fib.h"

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

// Sink: all calls on the Fib's writer thread.
class Sink : public FibListener {
 public:
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual SinkReport report() const = 0;
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
