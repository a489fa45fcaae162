#include "stream/client.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>

#include "stream/audit.h"
#include "stream/messages.h"

namespace dvr::stream {

Client::Client(ClientOptions options, Fib& fib, std::vector<Sink*> sinks, StateDirectory* directory,
               Transport& transport, const Clock& clock, Board& board, Logger& logger)
    : fib_(fib),
      directory_(directory),
      transport_(transport),
      clock_(clock),
      board_(board),
      logger_(logger),
      saved_(directory),
      addresses_(std::move(options.controllers), saved_.load_controllers(), options.seed),
      unconfirmed_(saved_, clock, logger),
      undone_(saved_, logger),
      session_(std::move(options.session), fib, std::move(sinks), transport, addresses_, saved_,
               unconfirmed_, board, logger),
      backoff_(options.seed) {
  const TimePoint now = clock_.now();
  next_dial_ = cut_since_ = next_count_ = now;
  stepping_ = fib_.summary().pending > 0;
  session_.restore();
  board_.set_connection(false, "", clock_.unix_millis());
  tell_sinks();
  publish("no controller was reached yet");
}

void Client::run() {
  while (step()) {
  }
}

bool Client::step() {
  if (stopping_.load(std::memory_order_acquire)) {
    transport_.close();
    session_.closed();
    streaming_ = false;
    return false;
  }
  const TimePoint now = clock_.now();
  if (!session_.welcomed()) undo();
  if (streaming_ && !session_.welcomed() && now >= welcome_by_) {
    transport_.close();
    lost("no welcome came in " + std::to_string(kWelcomeTimeout.count()) + " ms", Level::kWarn);
  }
  if (!streaming_ && now >= next_dial_) dial(now);
  if (now >= next_count_) count(now);
  flush_observations();
  flush_audits();
  if (sinks_changed_.load(std::memory_order_relaxed) && !fib_.in_delta()) tell_sinks();

  const Event event = transport_.wait(deadline(now));
  if (event.kind != Event::Kind::kTimeout) {
    handle(event);
  } else if (stepping_ && !fib_.in_delta()) {
    stepping_ = fib_.step(kStepSlots);
    if (!stepping_) {
      tell_sinks();
      flush_directory();
      if (trim_) ::malloc_trim(0);
      trim_ = false;
    }
  }
  return true;
}

void Client::stop() {
  stopping_.store(true, std::memory_order_release);
  transport_.wake();
}

void Client::observe(pb::Observation observation) {
  {
    const std::lock_guard lock(observations_mutex_);
    if (observations_.size() == kMostObservations) observations_.pop_front();
    observations_.push_back(std::move(observation));
    observing_.store(true, std::memory_order_release);
  }
  transport_.wake();
}

void Client::observe_state(const std::string& key, pb::Observation observation, bool kept) {
  {
    const std::lock_guard lock(observations_mutex_);
    if (!kept) {
      states_.erase(key);
    } else if (states_.size() < kMostStates || states_.contains(key)) {
      states_[key] = observation;
    }
    // Without a stream there is nobody to tell: the next one hears all that is kept.
    if (!told_) return;
    if (news_.empty() && !whole_) {
      told_ = false;                               // the first of all
    } else if (news_.size() == 2 * kMostStates) {  // it does not read; begun anew below
      news_.clear();
      told_ = false;
    } else {
      news_.push_back(std::move(observation));
    }
    observing_.store(true, std::memory_order_release);
  }
  transport_.wake();
}

// All states, for a stream that has heard none or missed some.
void Client::tell_states() {
  const std::lock_guard lock(observations_mutex_);
  if (told_) return;
  told_ = true;
  news_.clear();
  whole_ = !states_.empty();  // else nothing is observed here
  if (!whole_) return;
  for (const auto& [key, state] : states_) news_.push_back(state);
  pb::Observation whole;
  whole.set_time_ms(clock_.unix_millis());
  whole.mutable_whole();
  news_.push_back(std::move(whole));
  observing_.store(true, std::memory_order_release);
}

void Client::audit(std::uint64_t id) {
  audit_sinks(session_.sink_list(), [this, id, stream = streams_](const pb::AuditReport& report) {
    {
      const std::lock_guard lock(observations_mutex_);
      audits_.emplace_back(stream, report).second.set_id(id);
      audited_.store(true, std::memory_order_release);
    }
    transport_.wake();
  });
}

void Client::flush_audits() {
  if (!audited_.load(std::memory_order_acquire)) return;
  std::vector<std::pair<std::uint64_t, pb::AuditReport>> reports;
  {
    const std::lock_guard lock(observations_mutex_);
    reports.swap(audits_);
    audited_.store(false, std::memory_order_relaxed);
  }
  for (const auto& [stream, report] : reports) {
    if (stream == streams_) session_.send_audit(report);
  }
}

void Client::sinks_changed() {
  sinks_changed_.store(true, std::memory_order_relaxed);
  transport_.wake();
}

void Client::tell_sinks() {
  sinks_changed_.store(false, std::memory_order_relaxed);
  session_.send_sinks();
  board_.set_sinks(session_.sinks());
}

TimePoint Client::deadline(TimePoint now) const {
  // Idle work goes on between messages, never before one that waits.
  if (stepping_ && !fib_.in_delta()) return now;
  TimePoint at = next_count_;
  if (!streaming_) at = std::min(at, next_dial_);
  if (!session_.welcomed()) {
    if (streaming_) at = std::min(at, welcome_by_);
    if (const auto due = unconfirmed_.due(cut_since_)) at = std::min(at, *due);
  }
  return at;
}

void Client::dial(TimePoint now) {
  address_ = addresses_.next();
  logger_.debug("dialling", {{"controller", address_}});
  streaming_ = true;
  was_welcomed_ = false;
  welcome_by_ = now + kWelcomeTimeout;
  transport_.open(address_);
}

void Client::handle(const Event& event) {
  switch (event.kind) {
    case Event::Kind::kOpened:
      session_.opened();
      break;
    case Event::Kind::kMessage:
      received(*event.message);
      break;
    case Event::Kind::kClosed:
      ended(event.closing);
      break;
    case Event::Kind::kWoken:
    case Event::Kind::kTimeout:
      break;
  }
}

void Client::received(const pb::ControllerMessage& message) {
  const Session::Outcome outcome = session_.handle(message);
  if (outcome.chunk) ++chunks_;
  if (outcome.audit) audit(*outcome.audit);
  if (outcome.welcomed) {
    was_welcomed_ = true;
    ++streams_;
    tell_states();
    board_.set_connection(true, address_, clock_.unix_millis());
    publish("waiting for the controller's delta");
    logger_.info("connected", {{"controller", address_}, {"node", session_.node()}});
    last_loss_.clear();
    losses_ = 0;
  }
  if (outcome.delta) {
    // The Ack is on its way; from here on nobody waits.
    ++deltas_;
    flush_directory();
    board_.set_sinks(session_.sinks());
    if (session_.synced()) backoff_.reset();
    publish(session_.diverged() ? "the digest differs from the controller's" : "");
    if (session_.diverged()) {
      logger_.warn(
          "digest differs from the controller's",
          {{"digest", fib_.digest().hex()}, {"position", to_text(fib_.summary().position)}});
    }
    if (session_.last_full()) {
      const Summary held = fib_.summary();
      logger_.info("reconciled", {{"position", to_text(held.position)},
                                  {"prefixes", held.prefixes4 + held.prefixes6},
                                  {"classes", held.classes}});
      trim_ = true;
    } else if (logger_.enabled(Level::kDebug)) {
      logger_.debug("delta", {{"position", to_text(fib_.summary().position)}});
    }
    // A stream that never pauses leaves no idle time: prefixes of withdrawn
    // classes must fall to what covers them all the same.
    stepping_ = true;
    fib_.step(kStepSlots);
  }
  if (!outcome.status.ok()) {
    transport_.close();
    lost(outcome.status.message(),
         outcome.status.code() == Code::kState ? Level::kWarn : Level::kError);
  }
}

void Client::ended(const Closing& closing) {
  const std::string message = closing.message.empty() ? "the stream ended" : closing.message;
  lost(message, Level::kWarn);
}

void Client::lost(const std::string& reason, Level level) {
  const TimePoint now = clock_.now();
  streaming_ = false;
  if (was_welcomed_) {
    cut_since_ = now;
    board_.set_connection(false, address_, clock_.unix_millis());
  }
  was_welcomed_ = false;
  undone_.stream_ended();
  {
    const std::lock_guard lock(observations_mutex_);
    told_ = false;
    news_.clear();
  }
  const bool cut = session_.closed();
  if (cut || fib_.summary().partial) flush_directory();
  const auto wait = backoff_.next();
  next_dial_ = now + wait;
  publish(address_ + ": " + reason);
  // The same words over and over help nobody: once, then every 100th time.
  if (reason != last_loss_ || losses_ % 100 == 0) {
    const Field fields[] = {{"controller", address_},
                            {"reason", reason},
                            {"delta_cut", cut ? "yes" : "no"},
                            {"retry_in_ms", wait.count()}};
    if (logger_.enabled(level)) logger_.write(level, "no controller; forwarding goes on", fields);
    if (reason != last_loss_) losses_ = 0;
    last_loss_ = reason;
  }
  ++losses_;
}

void Client::undo() {
  while (std::optional<pb::Unconfirmed> due = unconfirmed_.take(cut_since_)) {
    const std::uint64_t revision = due->revision();
    const Status status = session_.undo(*due);
    if (status.ok()) {
      logger_.warn("unconfirmed commit undone, since no controller is heard",
                   {{"revision", revision}});
    } else {
      logger_.error("undoing an unconfirmed commit left another table than announced",
                    {{"revision", revision}, {"error", status.message()}});
    }
    ++undoings_;
    undone_.add(revision, clock_.unix_millis());
    undo_unsaved_ = true;
    flush_directory();
    stepping_ = true;
  }
}

void Client::flush_observations() {
  if (session_.welcomed()) undone_.tell(session_, clock_.now());
  if (!session_.welcomed() || !observing_.load(std::memory_order_acquire)) return;
  tell_states();
  std::deque<pb::Observation> taken, news;
  {
    const std::lock_guard lock(observations_mutex_);
    taken.swap(observations_);
    news.swap(news_);
    observing_.store(false, std::memory_order_release);
  }
  while (!news.empty() && session_.observe(news.front())) news.pop_front();
  if (!news.empty()) {
    const std::lock_guard lock(observations_mutex_);
    news_.insert(news_.begin(), std::make_move_iterator(news.begin()),
                 std::make_move_iterator(news.end()));
    observing_.store(true, std::memory_order_release);
  }
  while (!taken.empty() && session_.observe(taken.front())) taken.pop_front();
  if (taken.empty()) return;
  const std::lock_guard lock(observations_mutex_);
  // Before those that came meanwhile; again the oldest leave first.
  observations_.insert(observations_.begin(), std::make_move_iterator(taken.begin()),
                       std::make_move_iterator(taken.end()));
  while (observations_.size() > kMostObservations) observations_.pop_front();
  observing_.store(true, std::memory_order_release);
}

void Client::count(TimePoint now) {
  next_count_ = now + kCountersEvery;
  pb::Counters counters;
  counters.set_lookups(board_.lookups.load(std::memory_order_relaxed));
  counters.set_resident_bytes(resident_bytes());
  auto& more = *counters.mutable_more();
  more["streams"] = streams_;
  more["deltas"] = deltas_;
  more["chunks"] = chunks_;
  more["undone"] = undoings_;
  for (const auto& [name, value] : session_.sink_counters()) more[name] = value;
  board_.set_counters(counters);
  session_.send_counters(counters);
  undone_.heard(now);
  watch_directory();
}

void Client::flush_directory() {
  const bool whole = directory_ == nullptr || directory_->flush();
  if (!whole || !undo_unsaved_) return;
  // Behind the deltas that undid: see Unconfirmed.
  undo_unsaved_ = false;
  undone_.save();
  unconfirmed_.save();
}

void Client::watch_directory() {
  if (directory_ == nullptr) return;
  const Status status = directory_->error();
  if (status.ok()) return;
  // The table is saved again by itself; an inverse would only be with the next one.
  if (unconfirmed_.size() > 0) unconfirmed_.save();
  if (undone_.size() > 0) undone_.save();
  if (status.message() == last_save_error_) return;
  last_save_error_ = status.message();
  logger_.error(
      "what must outlive a restart cannot be saved; the table is served, but a restart would "
      "begin with an older one",
      {{"error", status.message()}});
}

void Client::publish(const std::string& stale) {
  if (stale.empty()) {
    board_.set_status("in sync");
  } else if (fib_.summary().position.log_id.empty()) {
    board_.set_status("empty");
  } else {
    board_.set_status("stale: " + stale);
  }
}

std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace dvr::stream
