// Unconfirmed: the inverses of commits that undo themselves unless confirmed.
//
// The controller sends, with every commit under confirmation, the delta that
// takes it back. As long as a controller can be heard it decides; a data plane
// that is cut off applies the inverse by itself when the deadline is past. A
// stream that breaks at the wrong moment is not yet "cut off": kGrace must have
// passed without any controller, so a mere reconnect never undoes.
//
// Deadlines run on the monotonic clock from the remaining time that was sent;
// what is saved carries the wall clock, which counts after a restart. What a
// new stream does not repeat before the end of its first delta was settled while
// this data plane was away, and is forgotten: undoing a confirmed commit later
// would be worse than losing an inverse whose controller can be heard.
//
// Nothing here waits for the disk: what is saved is handed over and gets there in the
// order in which it came, among the deltas. An inverse that was applied is dropped
// there only behind the delta that undid, so a crash in between applies it again,
// which changes nothing.
//
// Threading: the session's thread. Errors: a failed save is logged by whoever
// watches the directory, who calls save() again; until then the inverse is held
// in memory only.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "stream/clock.h"
#include "stream/logger.h"
#include "stream/saved.h"
#include "stream/transport.h"

namespace dvr::stream {

class Unconfirmed {
 public:
  static constexpr std::chrono::milliseconds kGrace{1000};
  // Bounds on what a controller may leave here.
  static constexpr std::size_t kMostPending = 64;
  static constexpr std::size_t kMostBytes = std::size_t{12} << 20;

  // Loads what the directory holds.
  Unconfirmed(Saved& saved, const Clock& clock, Logger& logger);

  // Keeps an inverse; one for the same revision replaces the older. False: it
  // was refused, since the bounds are reached.
  bool keep(const pb::Unconfirmed& message);

  // Forgets an inverse; an unknown revision is no error.
  void settle(std::uint64_t revision);

  // A stream began: what is held now must be repeated on it.
  void stream_began();
  // The stream's first delta is in: forgets what it did not repeat.
  void stream_synced();

  // When the next inverse is to be applied, given since when no controller is
  // heard; none: nothing is pending.
  [[nodiscard]] std::optional<TimePoint> due(TimePoint cut_since) const;

  // Takes the inverse that is due now, the newest revision first, so that
  // several are undone in the reverse order of their making. save() once the undoing is
  // handed to the journal.
  std::optional<pb::Unconfirmed> take(TimePoint cut_since);

  // Saves what is held now.
  void save();

  [[nodiscard]] std::size_t size() const { return pending_.size(); }

 private:
  struct Pending {
    pb::Unconfirmed message;  // deadline_ms by this machine's wall clock
    TimePoint deadline;
    std::size_t bytes;
    bool repeated;  // seen on the current stream
  };

  Saved& saved_;
  const Clock& clock_;
  Logger& logger_;
  std::vector<Pending> pending_;  // by revision, ascending
  std::size_t bytes_ = 0;
};

}  // namespace dvr::stream
