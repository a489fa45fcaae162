// XdpSink keeps the tables of a fast path in XDP equal to the Fib.
//
// Packets that come in by the named interfaces and leave by one of them are forwarded by a
// BPF program at the driver; whatever that cannot do is passed to the kernel, whose routes the
// kernel sink beside this one keeps. So nothing fails here: what is not in the fast path is
// slower. Links and maps are pinned: packets are forwarded while the data plane restarts.
//
// The Fib's writer changes the tables itself, in memory that the program reads; a thread of the
// sink's own follows links, neighbours and routes of others, and gives memory back.
//
// Threading: Sink's calls on the Fib's writer thread. The observer is called on either. Memory:
// some 25 MiB, half of it the kernel's, and 60 bytes a prefix.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lib/fib.h"
#include "lib/status.h"
#include "sinks/sink.h"

namespace dvr {

struct XdpOptions {
  std::vector<std::string> interfaces;
  std::string bpffs = "/sys/fs/bpf";
  std::uint32_t table = 254;  // where the kernel sink's routes are
  std::uint32_t metric = 70;  // and what they have
  std::chrono::milliseconds tick{1000};
  // How long what an earlier data plane left goes on where the saved table is another one and
  // no controller is heard.
  std::chrono::milliseconds patience{10000};
  // A process that has not been there for so long has its fast path pass all packets to the
  // kernel, since nobody follows links and neighbours.
  std::chrono::seconds lease{60};
  std::size_t pool = std::size_t{16} << 20;  // bytes at first
};

class XdpObserver {
 public:
  virtual ~XdpObserver() = default;
  virtual void attached(const std::string& interface, bool native) = 0;
  // One sentence for the operator.
  virtual void trouble(const std::string& what) = 0;
};

class XdpSink final : public Sink {
 public:
  // `fib` holds the saved table, and nobody writes to it before this returns. Errors: kInvalid
  // (no such interface), kIo (no permission, no BPF, another XDP program at an interface).
  static Status open(const XdpOptions& options, Fib& fib, XdpObserver& observer,
                     std::unique_ptr<XdpSink>* out);
  // Ends the thread. The interfaces keep the fast path.
  ~XdpSink() override;
  XdpSink(const XdpSink&) = delete;
  XdpSink& operator=(const XdpSink&) = delete;

  // Takes the fast path away that data planes for the table have left in this network namespace.
  // How many interfaces had it.
  static std::size_t detach(const std::string& bpffs, std::uint32_t table);

  [[nodiscard]] std::string name() const override { return "xdp"; }
  [[nodiscard]] SinkReport report() const override;
  // Packets by what became of them, and those and bytes of the groups with most.
  [[nodiscard]] SinkCounters counters() const override;

  // All interfaces have the fast path of this process. Any thread.
  [[nodiscard]] bool serving() const;

  void group_changed(std::uint32_t id, const ClassId& class_id,
                     std::span<const NextHop> hops) override;
  void prefix_set(const Prefix& p, std::uint32_t id) override;
  void prefix_removed(const Prefix& p) override;
  void class_released(std::uint32_t id, const ClassId& class_id) override;
  void delta_ended(const Summary& summary) override;

 private:
  class Impl;
  explicit XdpSink(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dvr
