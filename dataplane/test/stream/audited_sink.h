// A sink with an audit that the test ends.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "sinks/sink.h"

namespace dvr::stream {

class AuditedSink : public Sink {
 public:
  [[nodiscard]] std::string name() const override { return "kernel"; }
  [[nodiscard]] SinkReport report() const override { return {}; }
  [[nodiscard]] SinkCounters counters() const override { return {{"kernel_audits", 5}}; }
  bool audit(std::function<void(SinkAudit)> done) override {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(done));
    changed_.notify_all();
    return true;
  }
  // Answers the next one.
  void end(const SinkAudit& audit) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !waiting_.empty(); });
    const auto done = std::move(waiting_.back());
    waiting_.pop_back();
    lock.unlock();
    done(audit);
  }
  // When somebody has asked.
  void asked() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !waiting_.empty(); });
  }
  void group_changed(std::uint32_t, const ClassId&, std::span<const NextHop>) override {}
  void prefix_set(const Prefix&, std::uint32_t) override {}
  void prefix_removed(const Prefix&) override {}
  void class_released(std::uint32_t, const ClassId&) override {}
  void delta_ended(const Summary&) override {}

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::function<void(SinkAudit)>> waiting_;
};

}  // namespace dvr::stream
