// Fakes that own time and the wire, so that a test decides every step.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "stream/clock.h"
#include "stream/logger.h"
#include "stream/transport.h"

namespace dvr::stream {

class FakeClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return now_; }
  [[nodiscard]] std::uint64_t unix_millis() const override { return wall_; }
  void advance(std::chrono::milliseconds by) {
    now_ += by;
    wall_ += static_cast<std::uint64_t>(by.count());
  }
  void advance_to(TimePoint at) {
    if (at <= now_) return;
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(at - now_);
    advance(ms);
  }
  // Only the wall clock: what happens while the process is down, or is stepped.
  void step_wall(std::chrono::milliseconds by) { wall_ += static_cast<std::uint64_t>(by.count()); }

 private:
  TimePoint now_{std::chrono::hours(1)};
  std::uint64_t wall_ = 1'800'000'000'000;
};

// Keeps every line, for tests that look for one.
class FakeLogger final : public Logger {
 public:
  [[nodiscard]] bool enabled(Level) const override { return true; }
  void write(Level level, std::string_view message, std::span<const Field> fields) override {
    const std::lock_guard lock(mutex_);
    std::string line(message);
    for (const Field& f : fields) line += " " + std::string(f.name) + "=" + f.value;
    lines_.emplace_back(level, std::move(line));
  }
  [[nodiscard]] std::size_t count(std::string_view part) const {
    const std::lock_guard lock(mutex_);
    std::size_t n = 0;
    for (const auto& [level, line] : lines_) n += line.find(part) != std::string::npos ? 1 : 0;
    return n;
  }
  [[nodiscard]] std::string all() const {
    const std::lock_guard lock(mutex_);
    std::string text;
    for (const auto& [level, line] : lines_) text += line + "\n";
    return text;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::pair<Level, std::string>> lines_;
};

// Delivers what the test queued; with nothing queued, time jumps to the deadline.
class FakeTransport final : public Transport {
 public:
  explicit FakeTransport(FakeClock& clock) : clock_(clock) {}

  void open(const std::string& address) override {
    opened.push_back(address);
    streaming = true;
    woken_ = true;  // gives the test its turn before time moves
    events_.clear();
  }
  void close() override {
    if (streaming) ++closed;
    streaming = false;
    events_.clear();
  }
  void send(const pb::DataPlaneMessage& message) override {
    if (streaming) sent.push_back(message);
  }
  [[nodiscard]] std::size_t queued() const override { return congestion; }
  Event wait(TimePoint deadline) override {
    if (woken_) {
      woken_ = false;
      return {Event::Kind::kWoken, nullptr, {}};
    }
    if (events_.empty()) {
      clock_.advance_to(deadline);
      return {};
    }
    current_ = std::move(events_.front());
    events_.pop_front();
    if (current_.kind == Event::Kind::kClosed) streaming = false;
    Event event{current_.kind, nullptr, current_.closing};
    if (event.kind == Event::Kind::kMessage) event.message = &current_.message;
    return event;
  }
  void wake() override { woken_ = true; }

  // What the controller does.
  void accept() { events_.push_back({Event::Kind::kOpened, {}, {}}); }
  void deliver(pb::ControllerMessage message) {
    events_.push_back({Event::Kind::kMessage, std::move(message), {}});
  }
  void end(Closing::Reason reason, std::string message) {
    events_.push_back({Event::Kind::kClosed, {}, {reason, std::move(message)}});
  }
  [[nodiscard]] bool idle() const { return events_.empty(); }

  std::vector<std::string> opened;
  std::vector<pb::DataPlaneMessage> sent;
  std::size_t congestion = 0;
  int closed = 0;  // by the data plane
  bool streaming = false;

 private:
  struct Scripted {
    Event::Kind kind = Event::Kind::kTimeout;
    pb::ControllerMessage message;
    Closing closing;
  };
  FakeClock& clock_;
  std::deque<Scripted> events_;
  Scripted current_;
  bool woken_ = false;
};

// A transport between two threads: the client's, and the test's as controller.
class PipeTransport final : public Transport {
 public:
  void open(const std::string&) override {
    const std::lock_guard lock(mutex_);
    ++streams_;
    inbox_.clear();
    outbox_.clear();
    inbox_.push_back({Event::Kind::kOpened, {}});
    changed_.notify_all();
  }
  void close() override {
    const std::lock_guard lock(mutex_);
    inbox_.clear();
  }
  void send(const pb::DataPlaneMessage& message) override {
    const std::lock_guard lock(mutex_);
    outbox_.push_back(message);
    changed_.notify_all();
  }
  [[nodiscard]] std::size_t queued() const override { return 0; }
  Event wait(TimePoint deadline) override {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, deadline, [&] { return woken_ || !inbox_.empty(); });
    if (woken_) {
      woken_ = false;
      return {Event::Kind::kWoken, nullptr, {}};
    }
    if (inbox_.empty()) return {};
    current_ = std::move(inbox_.front());
    inbox_.pop_front();
    if (current_.first == Event::Kind::kMessage) return {current_.first, &current_.second, {}};
    return {current_.first, nullptr, {Closing::Reason::kUnavailable, "the test ended the stream"}};
  }
  void wake() override {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    changed_.notify_all();
  }

  // The controller's side.
  void deliver(pb::ControllerMessage message) {
    const std::lock_guard lock(mutex_);
    inbox_.emplace_back(Event::Kind::kMessage, std::move(message));
    changed_.notify_all();
  }
  void end() {
    const std::lock_guard lock(mutex_);
    inbox_.emplace_back(Event::Kind::kClosed, pb::ControllerMessage());
    changed_.notify_all();
  }
  // The next message of that kind; others before it are dropped.
  pb::DataPlaneMessage receive(pb::DataPlaneMessage::KindCase kind) {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return !outbox_.empty(); });
      pb::DataPlaneMessage message = std::move(outbox_.front());
      outbox_.pop_front();
      if (message.kind_case() == kind) return message;
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<Event::Kind, pb::ControllerMessage>> inbox_;
  std::deque<pb::DataPlaneMessage> outbox_;
  std::pair<Event::Kind, pb::ControllerMessage> current_;
  int streams_ = 0;
  bool woken_ = false;
};

}  // namespace dvr::stream
