#include "stream/unconfirmed.h"

#include <algorithm>

namespace dvr::stream {
namespace {

// Keeps sums of times far from overflow; no confirmation window is longer.
constexpr std::uint64_t kMostRemainingMs = std::uint64_t{90} * 24 * 3600 * 1000;

std::chrono::milliseconds bounded(std::uint64_t ms) {
  return std::chrono::milliseconds(std::min(ms, kMostRemainingMs));
}

}  // namespace

Unconfirmed::Unconfirmed(Saved& saved, const Clock& clock, Logger& logger)
    : saved_(saved), clock_(clock), logger_(logger) {
  const TimePoint now = clock_.now();
  const std::uint64_t wall = clock_.unix_millis();
  for (pb::Unconfirmed& message : saved_.load_unconfirmed()) {
    const std::uint64_t left = message.deadline_ms() > wall ? message.deadline_ms() - wall : 0;
    const std::size_t bytes = message.ByteSizeLong();
    bytes_ += bytes;
    pending_.push_back({std::move(message), now + bounded(left), bytes, false});
  }
}

bool Unconfirmed::keep(const pb::Unconfirmed& message) {
  const std::uint64_t revision = message.revision();
  auto at =
      std::lower_bound(pending_.begin(), pending_.end(), revision,
                       [](const Pending& p, std::uint64_t r) { return p.message.revision() < r; });
  const bool known = at != pending_.end() && at->message.revision() == revision;
  const std::size_t bytes = message.ByteSizeLong();
  const std::size_t freed = known ? at->bytes : 0;
  if ((!known && pending_.size() == kMostPending) || bytes_ - freed + bytes > kMostBytes) {
    logger_.error("unconfirmed commit not kept: too many or too large inverses are pending",
                  {{"revision", revision}, {"pending", pending_.size()}, {"bytes", bytes}});
    return false;
  }
  const auto remaining = bounded(message.remaining_ms());
  Pending next{message, clock_.now() + remaining, bytes, true};
  next.message.set_deadline_ms(clock_.unix_millis() +
                               static_cast<std::uint64_t>(remaining.count()));
  bytes_ = bytes_ - freed + bytes;
  if (known) {
    *at = std::move(next);
  } else {
    pending_.insert(at, std::move(next));
  }
  save();
  return true;
}

void Unconfirmed::settle(std::uint64_t revision) {
  const auto at = std::find_if(pending_.begin(), pending_.end(), [revision](const Pending& p) {
    return p.message.revision() == revision;
  });
  if (at == pending_.end()) return;
  bytes_ -= at->bytes;
  pending_.erase(at);
  save();
}

void Unconfirmed::stream_began() {
  for (Pending& p : pending_) p.repeated = false;
}

void Unconfirmed::stream_synced() {
  std::size_t gone = 0;
  std::erase_if(pending_, [&](const Pending& p) {
    if (p.repeated) return false;
    bytes_ -= p.bytes;
    ++gone;
    return true;
  });
  if (gone > 0) save();
}

std::optional<TimePoint> Unconfirmed::due(TimePoint cut_since) const {
  std::optional<TimePoint> due;
  for (const Pending& p : pending_) {
    const TimePoint at = std::max(p.deadline, cut_since + kGrace);
    if (!due || at < *due) due = at;
  }
  return due;
}

std::optional<pb::Unconfirmed> Unconfirmed::take(TimePoint cut_since) {
  const TimePoint now = clock_.now();
  for (auto at = pending_.rbegin(); at != pending_.rend(); ++at) {
    if (std::max(at->deadline, cut_since + kGrace) > now) continue;
    pb::Unconfirmed message = std::move(at->message);
    bytes_ -= at->bytes;
    pending_.erase(std::next(at).base());
    return message;
  }
  return std::nullopt;
}

void Unconfirmed::save() {
  std::vector<const pb::Unconfirmed*> messages;
  messages.reserve(pending_.size());
  for (const Pending& p : pending_) messages.push_back(&p.message);
  if (const Status saved = saved_.save_unconfirmed(messages); !saved.ok()) {
    logger_.error("unconfirmed commits cannot be saved; they would be lost on a restart",
                  {{"error", saved.message()}});
  }
}

}  // namespace dvr::stream
