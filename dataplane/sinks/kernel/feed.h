// Feed: what the Fib's writer hands to the sink's thread, in order.
//
// Threading: one writer, one taker. put() waits while kMostBatches are not taken.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "lib/digest.h"
#include "lib/group.h"
#include "lib/prefix.h"

namespace dvr::kernel {

struct Event {
  enum class Kind : std::uint8_t { kGroup, kSet, kRemoved, kReleased };
  Kind kind = Kind::kSet;
  std::uint32_t id = 0;  // of the class; kGroup: index in Batch::groups
  Prefix prefix;
};

struct GroupEvent {
  std::uint32_t id = 0;
  ClassId class_id;
  std::vector<NextHop> hops;
};

struct Batch {
  std::vector<Event> events;
  std::vector<GroupEvent> groups;
  bool end = false;    // what leaves does so now
  bool whole = false;  // a delta has ended, and the table is the controller's
  std::uint64_t number = 0;
};

class Feed {
 public:
  static constexpr std::size_t kMostBatches = 32;

  // Numbers the batch; returns the number.
  std::uint64_t put(Batch batch) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_ || batches_.size() < kMostBatches; });
    batch.number = ++put_;
    batches_.push_back(std::move(batch));
    return put_;
  }

  std::optional<Batch> take() {
    const std::lock_guard lock(mutex_);
    if (batches_.empty()) return std::nullopt;
    Batch batch = std::move(batches_.front());
    batches_.pop_front();
    changed_.notify_all();
    return batch;
  }

  [[nodiscard]] bool empty() const {
    const std::lock_guard lock(mutex_);
    return batches_.empty();
  }

  // The taker has done what the batch says.
  void done(std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    done_ = number;
    changed_.notify_all();
  }

  void wait(std::uint64_t number) const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ || done_ >= number; });
  }

  // Nobody takes any more: nobody waits.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::deque<Batch> batches_;
  std::uint64_t put_ = 0, done_ = 0;
  bool closed_ = false;
};

}  // namespace dvr::kernel
