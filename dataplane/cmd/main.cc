// dvr-dataplane: assembly. The order matters: the saved table is loaded and
// served before a controller is dialled, and the journal is closed after the
// last writer is gone.
#include <malloc.h>
#include <signal.h>

#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "cmd/log.h"
#include "cmd/options.h"
#include "cmd/version.h"
#include "lib/checkpoint.h"
#include "lib/fib.h"
#include "sinks/sink.h"
#include "stream/board.h"
#include "stream/client.h"
#include "stream/clock.h"
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

int run(const Options& options) {
  Log log(options.json, options.level);
  const GrpcLog grpc_log(log);
  Fib fib;
  std::unique_ptr<StateDirectory> directory;
  if (!restore(options, fib, directory, log)) return 1;

  const std::string instance = directory ? directory->instance() : random_uuid();
  MemorySink memory(fib);
  fib.add_listener(&memory);
  stream::Board board;
  stream::LocalService service(fib, board, {options.router, instance});
  if (const Status status = service.start(options.listen); !status.ok()) {
    log.error("not started", {{"error", status.message()}});
    return 1;
  }
  log.info("serving", {{"router", options.router},
                       {"listen", service.address()},
                       {"version", kVersion},
                       {"instance", instance}});
  for (const std::string& address : options.controllers) {
    if (!is_loopback(address)) {
      log.warn("the way to this controller is not protected", {{"controller", address}});
    }
  }

  stream::GrpcTransport transport;
  const stream::SystemClock clock;
  stream::ClientOptions client_options;
  client_options.session.router = options.router;
  client_options.session.instance = instance;
  client_options.session.version = kVersion;
  client_options.session.takeover = options.takeover;
  client_options.session.adopt = options.adopt;
  client_options.controllers = options.controllers;
  client_options.seed = std::random_device()();
  stream::Client client(client_options, fib, {&memory}, directory.get(), transport, clock, board,
                        log);
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
        return 1;
      }
      directory->close();
    }
  }
  fib.remove_listener(&memory);
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
