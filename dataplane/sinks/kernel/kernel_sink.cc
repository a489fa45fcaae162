#include "sinks/kernel/kernel_sink.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "sinks/kernel/ids.h"
#include "sinks/kernel/keeper.h"

namespace dvr {
namespace {

// Events that are handed over at once.
constexpr std::size_t kBatch = 4096;

// Lock is a name of this network namespace that one process holds: who serves a table.
class Lock {
 public:
  explicit Lock(const std::string& name) : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::size_t length = std::min(name.size(), sizeof address.sun_path - 1);
    std::memcpy(address.sun_path + 1, name.data(), length);
    held_ = fd_ >= 0 &&
            ::bind(fd_, reinterpret_cast<const sockaddr*>(&address),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length)) == 0;
  }
  ~Lock() {
    if (fd_ >= 0) ::close(fd_);
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  [[nodiscard]] bool held() const { return held_; }

 private:
  int fd_;
  bool held_ = false;
};

std::string setting(const char* path) {
  std::ifstream file(path);
  std::string value;
  std::getline(file, value);
  return value;
}

constexpr const char* kCompatMode = "/proc/sys/net/ipv4/nexthop_compat_mode";

}  // namespace

class KernelSink::Impl {
 public:
  Impl(const KernelOptions& options, KernelObserver& observer)
      : lock("dvr-kernel-" + std::to_string(kernel::Ids(options.table).slot())),
        keeper(options, observer) {}
  ~Impl() {
    keeper.stop();
    if (thread.joinable()) thread.join();
  }

  std::uint64_t put() {
    const std::uint64_t number = keeper.feed().put(std::exchange(pending, {}));
    keeper.wake();
    return number;
  }

  void add(kernel::Event event) {
    pending.events.push_back(event);
    if (pending.events.size() >= kBatch) put();
  }

  Lock lock;
  kernel::Keeper keeper;
  kernel::Batch pending;
  std::thread thread;
};

KernelSink::KernelSink(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KernelSink::~KernelSink() = default;

Status KernelSink::open(const KernelOptions& options, Fib& fib, KernelObserver& observer,
                        std::unique_ptr<KernelSink>* out) {
  std::unique_ptr<Impl> impl;
  try {
    impl = std::make_unique<Impl>(options, observer);
  } catch (const std::system_error& e) {
    return {Code::kIo, e.what()};
  }
  if (!impl->lock.held()) {
    return {Code::kLocked, "another data plane serves kernel table " +
                               std::to_string(options.table) + " (or one " +
                               std::to_string(kernel::Ids::kSlots) +
                               " apart from it) in this network namespace"};
  }
  if (!impl->keeper.permitted()) {
    return {Code::kIo, "the kernel lets this process change no routes: it needs CAP_NET_ADMIN"};
  }
  kernel::Batch saved;
  for (StoredClass& c : fib.classes()) {
    saved.groups.push_back({c.id, c.class_id, std::move(c.hops)});
  }
  using Kind = kernel::Event::Kind;
  fib.for_each4([&](const Prefix4& p, std::uint32_t id) {
    saved.events.push_back({Kind::kSet, id, Prefix::of(p)});
  });
  fib.for_each6([&](const Prefix6& p, std::uint32_t id) {
    saved.events.push_back({Kind::kSet, id, Prefix::of(p)});
  });
  impl->keeper.load(std::move(saved));
  impl->thread = std::thread([keeper = &impl->keeper] { keeper->run(); });
  out->reset(new KernelSink(std::move(impl)));
  return {};
}

SinkReport KernelSink::report() const {
  // What was told outside of a delta (prefixes of withdrawn classes that have left) need not
  // wait for the next one.
  if (!impl_->pending.events.empty()) {
    impl_->pending.end = true;
    impl_->put();
  }
  return impl_->keeper.report();
}

SinkCounters KernelSink::counters() const { return impl_->keeper.counters(); }

bool KernelSink::audit(std::function<void(SinkAudit)> done) {
  return impl_->keeper.audit(std::move(done));
}

bool KernelSink::probe(const Probes& probes) {
  impl_->keeper.probe(probes);
  return true;
}

void KernelSink::group_changed(std::uint32_t id, const ClassId& class_id,
                               std::span<const NextHop> hops) {
  const auto index = static_cast<std::uint32_t>(impl_->pending.groups.size());
  impl_->pending.groups.push_back({id, class_id, {hops.begin(), hops.end()}});
  impl_->add({kernel::Event::Kind::kGroup, index, {}});
}

void KernelSink::prefix_set(const Prefix& p, std::uint32_t id) {
  impl_->add({kernel::Event::Kind::kSet, id, p});
}

void KernelSink::prefix_removed(const Prefix& p) {
  impl_->add({kernel::Event::Kind::kRemoved, 0, p});
}

void KernelSink::class_released(std::uint32_t id, const ClassId&) {
  impl_->add({kernel::Event::Kind::kReleased, id, {}});
}

void KernelSink::delta_ended(const Summary& summary) {
  impl_->pending.end = true;
  impl_->pending.whole = summary.heard && !summary.partial && !summary.position.log_id.empty();
  impl_->keeper.feed().wait(impl_->put());
}

bool KernelTuning::fast_groups() { return setting(kCompatMode) == "0"; }

Status KernelTuning::set_fast_groups() {
  std::ofstream file(kCompatMode);
  file << "0" << std::flush;
  if (file && fast_groups()) return {};
  return {Code::kIo, std::string("cannot write 0 to ") + kCompatMode};
}

bool KernelTuning::forwards(std::uint8_t family) {
  return setting(family == 4 ? "/proc/sys/net/ipv4/ip_forward"
                             : "/proc/sys/net/ipv6/conf/all/forwarding") == "1";
}

}  // namespace dvr
