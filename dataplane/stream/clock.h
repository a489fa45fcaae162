// Clock: the two clocks that the stream reads, so that tests own time.
//
// Deadlines run on the monotonic clock; the wall clock is read only to carry a
// deadline over a restart and to stamp observations.
#pragma once

#include <chrono>
#include <cstdint>

namespace dvr::stream {

class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;
  [[nodiscard]] virtual std::chrono::steady_clock::time_point now() const = 0;
  [[nodiscard]] virtual std::uint64_t unix_millis() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] std::chrono::steady_clock::time_point now() const override {
    return std::chrono::steady_clock::now();
  }
  [[nodiscard]] std::uint64_t unix_millis() const override {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(since).count());
  }
};

}  // namespace dvr::stream
