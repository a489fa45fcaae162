// Board: what the session's thread lets others see: connection, health, sinks
// and counters. The table itself is read from the Fib.
//
// Threading: safe for concurrent use; writers and readers hold a mutex for a copy.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "fib.pb.h"

namespace dvr::stream {

class Board {
 public:
  // A stream is up (or not) since then.
  void set_connection(bool connected, std::string controller, std::uint64_t since_ms) {
    const std::lock_guard lock(mutex_);
    connected_ = connected;
    controller_ = std::move(controller);
    since_ms_ = since_ms;
  }

  // "in sync", "empty" or "stale: <reason>".
  void set_status(std::string status) {
    const std::lock_guard lock(mutex_);
    status_ = std::move(status);
  }

  void set_sinks(std::vector<dvr::fib::v1::SinkStatus> sinks) {
    const std::lock_guard lock(mutex_);
    sinks_ = std::move(sinks);
  }

  void set_counters(const dvr::fib::v1::Counters& counters) {
    const std::lock_guard lock(mutex_);
    counters_ = counters;
  }

  // Fills what the board knows; the rest of the message is left alone.
  void fill(dvr::fib::v1::Stats* stats) const {
    const std::lock_guard lock(mutex_);
    stats->set_connected(connected_);
    stats->set_controller(controller_);
    stats->set_since_ms(since_ms_);
    *stats->mutable_counters() = counters_;
    stats->mutable_sinks()->Assign(sinks_.begin(), sinks_.end());
  }

  void fill(dvr::fib::v1::Health* health) const {
    const std::lock_guard lock(mutex_);
    health->set_status(status_);
    health->set_healthy(status_ == "in sync");
  }

  // Lookups answered by anyone.
  std::atomic<std::uint64_t> lookups{0};

 private:
  mutable std::mutex mutex_;
  bool connected_ = false;
  std::string controller_;
  std::uint64_t since_ms_ = 0;
  std::string status_ = "empty";
  std::vector<dvr::fib::v1::SinkStatus> sinks_;
  dvr::fib::v1::Counters counters_;
};

}  // namespace dvr::stream
