// Undone: what was undone here while no controller was heard, until one knows it.
//
// A report is told on every stream until one that was told it is still up kHeard
// later, and is kept over restarts: the data plane that undid a commit may well be
// restarted before it finds a controller again. So a controller may be told twice;
// it knows the report again by revision and time.
//
// Threading: the session's thread. Errors: a failed save is logged by whoever watches
// the directory, who calls save() again.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "stream/clock.h"
#include "stream/logger.h"
#include "stream/saved.h"
#include "stream/session.h"

namespace dvr::stream {

class Undone {
 public:
  // As many as a controller keeps; the oldest leave first.
  static constexpr std::size_t kMost = 32;
  static constexpr std::chrono::milliseconds kHeard{5000};

  // Loads what the directory holds.
  Undone(Saved& saved, Logger& logger);

  // Notes an undoing, at a wall clock time; one that is there already keeps its time: it was
  // undone again, since the process ended before the disk knew. save() with the undoing itself.
  void add(std::uint64_t revision, std::uint64_t time_ms);

  // Tells a welcomed session what it was not told on this stream.
  void tell(Session& session, TimePoint now);
  // The stream that was told is gone.
  void stream_ended();
  // Forgets what the stream that is up was told long enough ago.
  void heard(TimePoint now);

  // Saves what is held now.
  void save();

  [[nodiscard]] std::size_t size() const { return reports_.size(); }

 private:
  struct Report {
    pb::Observation message;
    std::optional<TimePoint> told;  // on this stream
  };

  Saved& saved_;
  Logger& logger_;
  std::vector<Report> reports_;  // oldest first
};

}  // namespace dvr::stream
