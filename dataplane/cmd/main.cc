// dvr-dataplane: assembly. The order matters: the saved table is loaded and
// served before a controller is dialled, and the journal is closed after the
// last writer is gone.
#include <malloc.h>
#include <signal.h>

#include <atomic>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "cmd/log.h"
#include "cmd/options.h"
#include "cmd/version.h"
#include "lib/checkpoint.h"
#include "lib/fib.h"
#include "sinks/kernel/kernel_sink.h"
#include "sinks/sink.h"
#ifdef DVR_WITH_XDP
#include "sinks/xdp/xdp_sink.h"
#endif
#include "stream/board.h"
#include "stream/client.h"
#include "stream/clock.h"
#include "stream/credentials.h"
#include "stream/grpc_log.h"
#include "stream/grpc_transport.h"
#include "stream/local_service.h"
#include "stream/messages.h"

namespace dvr::cmd {
namespace {

// The signals that end the program. They are blocked in every thread and taken
// by one that waits for them, so no code runs in a handler.
sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

// Runs `on_signal` once when an ending signal comes; a second SIGINT ends the
// process at once, should the clean way hang. A SIGTERM after a SIGINT does not:
// a script sends it to make sure of what the terminal may have sent already.
class SignalWatch {
 public:
  template <class F>
  explicit SignalWatch(F on_signal)
      : thread_([on_signal](const std::stop_token& stopped) {
          const sigset_t set = ending_signals();
          bool asked = false;
          int interrupts = 0;
          while (!stopped.stop_requested()) {
            const timespec tick{0, 50'000'000};
            const int signal = sigtimedwait(&set, nullptr, &tick);
            if (signal < 0) continue;
            if (signal == SIGINT && ++interrupts > 1) std::_Exit(128 + signal);
            if (!asked) on_signal(signal);
            asked = true;
          }
        }) {}

 private:
  std::jthread thread_;
};

std::string random_uuid() {
  std::random_device random;
  std::string text;
  for (int i = 0; i < 16; ++i) {
    unsigned byte = random() & 0xff;
    if (i == 6) byte = (byte & 0x0f) | 0x40;
    if (i == 8) byte = (byte & 0x3f) | 0x80;
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

// Opens the state directory and serves the table from it; false: it cannot be used.
bool restore(const Options& options, Fib& fib, std::unique_ptr<StateDirectory>& directory,
             Log& log) {
  if (options.state_dir.empty()) {
    log.warn("no --state-dir: the table is lost when this process ends");
    return true;
  }
  Status status = StateDirectory::open(options.state_dir, {}, &directory);
  LoadReport report;
  if (status.ok()) status = directory->load(&fib, &report);
  if (!status.ok()) {
    log.error("the state directory cannot be used",
              {{"path", options.state_dir}, {"error", status.message()}});
    return false;
  }
  if (!report.damaged.empty()) log.error("saved state was damaged", {{"file", report.damaged}});
  if (!report.unwritable.empty()) {
    log.error("nothing can be saved for now", {{"error", report.unwritable}});
  }
  const Summary held = fib.summary();
  log.info("table loaded", {{"position", stream::to_text(held.position)},
                            {"prefixes", held.prefixes4 + held.prefixes6},
                            {"journal_deltas", report.deltas},
                            {"torn_bytes", report.torn_bytes}});
  directory->attach(&fib);
  return true;
}

// Takes gRPC's log for as long as it lives.
class GrpcLog {
 public:
  explicit GrpcLog(Log& log) { stream::route_grpc_log(&log); }
  ~GrpcLog() { stream::route_grpc_log(nullptr); }
  GrpcLog(const GrpcLog&) = delete;
  GrpcLog& operator=(const GrpcLog&) = delete;
};

// Passes on what the kernel sink sees: to the log and, once there is one, to the client.
class KernelReporter final : public KernelObserver {
 public:
  explicit KernelReporter(Log& log) : log_(log) {}
  // client outlives the sink.
  void attach(stream::Client* client) {
    const std::lock_guard lock(mutex_);
    client_.store(client, std::memory_order_release);
    for (auto& [key, state] : std::exchange(early_, {})) client->observe_state(key, state, true);
  }

  void restored(const Prefix& prefix, const std::string& cause, std::uint64_t count) override {
    log_.warn("kernel routes restored",
              {{"prefix", to_string(prefix)}, {"count", count}, {"cause", cause}});
    stream::Client* const client = client_.load(std::memory_order_acquire);
    if (client == nullptr) return;
    stream::pb::Observation observation;
    observation.set_time_ms(stream::SystemClock().unix_millis());
    auto* const repair = observation.mutable_repair();
    repair->set_prefix(to_string(prefix));
    repair->set_cause(cause);
    repair->set_count(count);
    client->observe(std::move(observation));
  }
  void link(const std::string& interface, bool up) override {
    log_.debug("interface", {{"interface", interface}, {"state", up ? "up" : "down"}});
    stream::pb::Observation observation;
    observation.mutable_link()->set_interface(interface);
    observation.mutable_link()->set_up(up);
    tell("link " + interface, std::move(observation), true);
  }
  void next_hop(const Address& address, const std::string& interface, bool up) override {
    const std::string hop = to_string(address);
    if (up) {
      log_.info("a next hop is back", {{"next_hop", hop}, {"interface", interface}});
    } else {
      log_.warn("a next hop is dead", {{"next_hop", hop}, {"interface", interface}});
    }
    stream::pb::Observation observation;
    auto* const next_hop = observation.mutable_next_hop();
    next_hop->set_address(to_bytes(address));
    next_hop->set_interface(interface);
    next_hop->set_up(up);
    tell("next hop " + interface + " " + to_string(address), std::move(observation), !up);
  }
  void changed() override {
    if (auto* const client = client_.load(std::memory_order_acquire)) client->sinks_changed();
  }
  void trouble(const std::string& what) override { log_.warn(what); }

 private:
  void tell(const std::string& key, stream::pb::Observation observation, bool kept) {
    observation.set_time_ms(stream::SystemClock().unix_millis());
    const std::lock_guard lock(mutex_);
    if (auto* const client = client_.load(std::memory_order_acquire)) {
      client->observe_state(key, std::move(observation), kept);
    } else if (!kept) {
      early_.erase(key);
    } else if (early_.size() < stream::Client::kMostStates) {
      early_[key] = std::move(observation);
    }
  }

  Log& log_;
  std::atomic<stream::Client*> client_{nullptr};
  std::mutex mutex_;
  std::map<std::string, stream::pb::Observation> early_;  // before there was a client
};

// Opens the kernel sink; false: it cannot be used.
bool open_kernel(const Options& options, Fib& fib, KernelReporter& reporter, Log& log,
                 std::unique_ptr<KernelSink>& kernel) {
  KernelOptions kernel_options;
  kernel_options.table = options.table;
  kernel_options.metric = options.metric;
  kernel_options.probe_every = std::chrono::seconds(options.probe);
  Status status;
  if (options.tune_kernel) status = KernelTuning::set_fast_groups();
  if (status.ok()) status = KernelSink::open(kernel_options, fib, reporter, &kernel);
  if (!status.ok()) {
    log.error("the kernel sink cannot be used", {{"error", status.message()}});
    return false;
  }
  log.info("the kernel is kept in step", {{"table", options.table}, {"metric", options.metric}});
  if (!KernelTuning::fast_groups()) {
    log.warn(
        "fail-over takes longer the more prefixes there are: set "
        "net.ipv4.nexthop_compat_mode to 0, or start with --tune-kernel");
  }
  if (!KernelTuning::forwards(4)) log.warn("net.ipv4.ip_forward is 0: no IPv4 packet is forwarded");
  if (!KernelTuning::forwards(6)) {
    log.warn("net.ipv6.conf.all.forwarding is 0: no IPv6 packet is forwarded");
  }
  return true;
}

#ifdef DVR_WITH_XDP

class XdpReporter final : public XdpObserver {
 public:
  explicit XdpReporter(Log& log) : log_(log) {}
  void attached(const std::string& interface, bool native) override {
    log_.info("forwarding in XDP",
              {{"interface", interface}, {"mode", native ? "native" : "generic"}});
  }
  void trouble(const std::string& what) override { log_.warn(what); }

 private:
  Log& log_;
};

bool open_xdp(const Options& options, Fib& fib, XdpReporter& reporter, Log& log,
              std::unique_ptr<XdpSink>& xdp) {
  XdpOptions xdp_options;
  xdp_options.interfaces = options.interfaces;
  xdp_options.bpffs = options.bpffs;
  xdp_options.table = options.table;
  xdp_options.metric = options.metric;
  const Status status = XdpSink::open(xdp_options, fib, reporter, &xdp);
  if (!status.ok()) log.error("the XDP sink cannot be used", {{"error", status.message()}});
  return status.ok();
}

// What an earlier life forwarded by would follow no route any more.
void detach_xdp(const Options& options, Log& log) {
  const std::size_t count = XdpSink::detach(options.bpffs, options.table);
  if (count > 0 || options.xdp_detach) log.info("XDP taken away", {{"interfaces", count}});
}

#else

using XdpSink = KernelSink;  // of which there is none
struct XdpReporter {
  explicit XdpReporter(Log&) {}
};

bool open_xdp(const Options&, Fib&, XdpReporter&, Log& log, std::unique_ptr<XdpSink>&) {
  log.error("this program was built without the XDP sink: clang or libbpf was missing");
  return false;
}
void detach_xdp(const Options&, Log&) {}

#endif

int run(const Options& options) {
  Log log(options.json, options.level);
  if (options.xdp_detach) {
    detach_xdp(options, log);
    return 0;
  }
  const GrpcLog grpc_log(log);
  const stream::TlsFiles files{options.ca_file, options.cert_file, options.key_file,
                               options.crl_file};
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if (const Status status = stream::open_credentials(files, options.router, &credentials);
      !status.ok()) {
    log.error("the certificates cannot be used", {{"error", status.message()}});
    return 1;
  }
  Fib fib;
  std::unique_ptr<StateDirectory> directory;
  if (!restore(options, fib, directory, log)) return 1;

  const std::string instance = directory ? directory->instance() : random_uuid();
  MemorySink memory(fib);
  fib.add_listener(&memory);
  std::vector<Sink*> sinks{&memory};
  KernelReporter reporter(log);
  std::unique_ptr<KernelSink> kernel;
  XdpReporter xdp_reporter(log);
  std::unique_ptr<XdpSink> xdp;
  if (options.sink != "memory") {
    if (!open_kernel(options, fib, reporter, log, kernel)) return 1;
    sinks.push_back(kernel.get());
  }
  if (options.sink == "xdp") {
    if (!open_xdp(options, fib, xdp_reporter, log, xdp)) return 1;
    sinks.push_back(xdp.get());
    fib.add_listener(xdp.get());  // first: it is done long before the kernel is
  } else if (kernel) {
    detach_xdp(options, log);
  }
  if (kernel) fib.add_listener(kernel.get());
  stream::Board board;
  stream::LocalService service(fib, board, sinks, {options.router, instance});
  if (const Status status = service.start(options.listen); !status.ok()) {
    log.error("not started", {{"error", status.message()}});
    return 1;
  }
  log.info("serving", {{"router", options.router},
                       {"listen", service.address()},
                       {"version", kVersion},
                       {"instance", instance}});
  for (const std::string& address : options.controllers) {
    if (files.none() && !is_loopback(address)) {
      log.warn("the way to this controller is not protected", {{"controller", address}});
    }
  }

  stream::GrpcTransport transport(credentials);
  const stream::SystemClock clock;
  stream::ClientOptions client_options;
  client_options.session.router = options.router;
  client_options.session.instance = instance;
  client_options.session.version = kVersion;
  client_options.session.takeover = options.takeover;
  client_options.session.adopt = options.adopt;
  client_options.controllers = options.controllers;
  client_options.seed = std::random_device()();
  stream::Client client(client_options, fib, sinks, directory.get(), transport, clock, board, log);
  reporter.attach(&client);
  {
    const SignalWatch watch([&](int signal) {
      log.info("stopping", {{"signal", signal == SIGINT ? "SIGINT" : "SIGTERM"}});
      client.stop();
    });
    client.run();
    service.stop();
    if (directory) {
      directory->flush();
      const Status status = directory->sync();
      if (!status.ok()) {
        log.error("the table could not be saved", {{"error", status.message()}});
        xdp.reset();
        kernel.reset();
        return 1;
      }
      directory->close();
    }
  }
  fib.remove_listener(&memory);
  if (xdp) fib.remove_listener(xdp.get());
  if (kernel) fib.remove_listener(kernel.get());
  xdp.reset();
  kernel.reset();  // before the client that it tells
  log.info("stopped", {{"position", stream::to_text(fib.summary().position)}});
  return 0;
}

}  // namespace
}  // namespace dvr::cmd

int main(int argc, char** argv) {
  // Two arenas: a table is filled by one thread, and the arenas of gRPC's would
  // only hold on to freed messages.
  mallopt(M_ARENA_MAX, 2);
  const sigset_t set = dvr::cmd::ending_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  const dvr::cmd::Parsed parsed =
      dvr::cmd::parse_options(std::vector<std::string>(argv + 1, argv + argc));
  if (!parsed.options) {
    std::fputs(parsed.text.c_str(), parsed.status == 0 ? stdout : stderr);
    return parsed.status;
  }
  return dvr::cmd::run(*parsed.options);
}
