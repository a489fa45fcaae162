// Client: the life of a data plane. It keeps one stream to some controller,
// feeds the Session, and does at the right time what is nobody else's: dialling
// with back-off, undoing unconfirmed commits when cut off, paced removal,
// journal, counters.
//
// Everything happens on the thread that calls run() (or step(), in tests), which
// is the Fib's writer from then on. Losing a controller never touches the table.
//
//   dial ── kOpened ─▶ Hello ── Welcome ─▶ established ── kClosed ─▶ back-off, next address
//        └─ kClosed, no Welcome in kWelcomeTimeout, refusal ─▶ back-off, next address
//
// stop(), observe() and sinks_changed() may be called from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/checkpoint.h"
#include "lib/fib.h"
#include "sinks/sink.h"
#include "stream/addresses.h"
#include "stream/backoff.h"
#include "stream/board.h"
#include "stream/clock.h"
#include "stream/logger.h"
#include "stream/saved.h"
#include "stream/session.h"
#include "stream/transport.h"
#include "stream/unconfirmed.h"
#include "stream/undone.h"

namespace dvr::stream {

struct ClientOptions {
  SessionOptions session;
  std::vector<std::string> controllers;  // at least one
  std::uint64_t seed = 0;                // of address order and back-off
};

class Client {
 public:
  static constexpr std::chrono::milliseconds kWelcomeTimeout{12000};
  static constexpr std::chrono::milliseconds kCountersEvery{5000};
  // Slots looked at between two looks at the transport: some 100 µs.
  static constexpr std::size_t kStepSlots = 8192;
  // Observations kept while no controller is there; the oldest leave first.
  static constexpr std::size_t kMostObservations = 1024;
  // States that are kept; what is beyond is told once.
  static constexpr std::size_t kMostStates = 8192;

  // directory may be null (nothing is kept). All of them outlive the client; only a sink that
  // tells this client something of a thread of its own must have ended before it.
  Client(ClientOptions options, Fib& fib, std::vector<Sink*> sinks, StateDirectory* directory,
         Transport& transport, const Clock& clock, Board& board, Logger& logger);

  // Serves until stop(). The transport's stream is closed then.
  void run();
  // Handles one event or timer; false after stop().
  bool step();
  void stop();

  // Queues an observation for the controller.
  void observe(pb::Observation observation);
  // What is observed is a state, of what `key` names: it is told as it changes, and all states
  // again to each controller. kept: also to later ones; else it is as if it had never been told.
  void observe_state(const std::string& key, pb::Observation observation, bool kept);
  // A sink's report has changed between deltas: the controller and the board are told.
  void sinks_changed();

 private:
  void dial(TimePoint now);
  void handle(const Event& event);
  void received(const pb::ControllerMessage& message);
  void ended(const Closing& closing);
  void lost(const std::string& reason, Level level);
  void undo();
  void flush_observations();
  void tell_states();
  void audit(std::uint64_t id);
  void flush_audits();
  void tell_sinks();
  void count(TimePoint now);
  void flush_directory();
  void watch_directory();
  void publish(const std::string& stale);
  [[nodiscard]] TimePoint deadline(TimePoint now) const;

  Fib& fib_;
  StateDirectory* directory_;
  Transport& transport_;
  const Clock& clock_;
  Board& board_;
  Logger& logger_;
  Saved saved_;
  Addresses addresses_;
  Unconfirmed unconfirmed_;
  Undone undone_;
  Session session_;
  Backoff backoff_;

  std::string address_;        // of the current or last stream
  bool streaming_ = false;     // dialled and not closed yet
  bool was_welcomed_ = false;  // this stream
  TimePoint next_dial_;        // while not streaming
  TimePoint welcome_by_;       // while streaming and not welcomed
  TimePoint cut_since_;        // while not welcomed: since when no controller is heard
  TimePoint next_count_;
  bool stepping_ = false;        // withdrawn prefixes are left, or memory to reclaim
  bool undo_unsaved_ = false;    // an inverse was applied and is on disk still
  bool trim_ = false;            // a FULL has left garbage behind
  std::string last_loss_;        // so that a repeated reason is logged once
  std::uint64_t losses_ = 0;     // with that reason
  std::string last_save_error_;  // logged already
  std::uint64_t streams_ = 0, deltas_ = 0, chunks_ = 0, undoings_ = 0;

  std::atomic<bool> stopping_{false};
  std::mutex observations_mutex_;
  std::deque<pb::Observation> observations_;       // guarded
  std::deque<pb::Observation> news_;               // guarded: of states, on this stream
  std::map<std::string, pb::Observation> states_;  // guarded
  bool whole_ = false;                  // guarded: the stream that is up was told all states
  bool told_ = false;                   // guarded: the states were queued for the stream that is up
  std::atomic<bool> observing_{false};  // observations_ is not empty
  // Guarded; to be sent, unless another stream than that one is up by now.
  std::vector<std::pair<std::uint64_t, pb::AuditReport>> audits_;
  std::atomic<bool> audited_{false};  // audits_ is not empty
  std::atomic<bool> sinks_changed_{false};
};

// Resident memory of this process, in bytes; 0 where it cannot be read.
std::uint64_t resident_bytes();

}  // namespace dvr::stream
