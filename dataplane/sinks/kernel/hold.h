// Hold: how long what has failed must have been well before it is used again.
//
// 100 ms after one failure, twice that after each further one, at most a minute; what has been
// well for a minute has never failed. So a single failure costs nothing, and what flaps is
// left out for longer and longer.
#pragma once

#include <algorithm>
#include <chrono>

namespace dvr::kernel {

class Hold {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds kFirst{100};
  static constexpr std::chrono::milliseconds kLongest{60000};

  // It failed, or failed again before it was used.
  void failed(TimePoint now) {
    if (last_ != TimePoint{} && now - last_ >= kLongest + hold_) hold_ = {};
    hold_ = hold_.count() == 0 ? kFirst : std::min(hold_ * 2, kLongest);
    last_ = now;
  }
  // When it may be used that has been well since then.
  [[nodiscard]] TimePoint usable(TimePoint since) const { return since + hold_; }

 private:
  std::chrono::milliseconds hold_{0};
  TimePoint last_;
};

}  // namespace dvr::kernel
