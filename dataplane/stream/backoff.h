// Backoff: how long to wait before the next attempt to reach a controller.
//
// The bound doubles from 50 ms to 2 s and the wait is drawn evenly from its
// upper half, so that data planes that lost one controller do not return to the
// next one in step.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>

namespace dvr::stream {

class Backoff {
 public:
  static constexpr std::chrono::milliseconds kFirst{50};
  static constexpr std::chrono::milliseconds kMost{2000};

  explicit Backoff(std::uint64_t seed) : random_(seed) {}

  // The wait before the next attempt: in [bound/2, bound].
  std::chrono::milliseconds next() {
    const std::int64_t bound = bound_.count();
    bound_ = std::min(bound_ * 2, kMost);
    return std::chrono::milliseconds(
        std::uniform_int_distribution<std::int64_t>(bound / 2, bound)(random_));
  }

  // An attempt succeeded.
  void reset() { bound_ = kFirst; }

 private:
  std::mt19937_64 random_;
  std::chrono::milliseconds bound_ = kFirst;
};

}  // namespace dvr::stream
