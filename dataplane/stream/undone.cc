#include "stream/undone.h"

#include <algorithm>
#include <utility>

namespace dvr::stream {

Undone::Undone(Saved& saved, Logger& logger) : saved_(saved), logger_(logger) {
  for (pb::Observation& message : saved_.load_undone()) {
    reports_.push_back({std::move(message), std::nullopt});
  }
}

void Undone::add(std::uint64_t revision, std::uint64_t time_ms) {
  const bool known = std::any_of(reports_.begin(), reports_.end(), [revision](const Report& r) {
    return r.message.undone().revision() == revision;
  });
  if (known) return;
  if (reports_.size() == kMost) reports_.erase(reports_.begin());
  pb::Observation message;
  message.set_time_ms(time_ms);
  message.mutable_undone()->set_revision(revision);
  reports_.push_back({std::move(message), std::nullopt});
}

void Undone::tell(Session& session, TimePoint now) {
  for (Report& r : reports_) {
    if (r.told) continue;
    if (!session.observe(r.message)) return;
    r.told = now;
  }
}

void Undone::stream_ended() {
  for (Report& r : reports_) r.told.reset();
}

void Undone::heard(TimePoint now) {
  const std::size_t gone =
      std::erase_if(reports_, [now](const Report& r) { return r.told && now >= *r.told + kHeard; });
  if (gone > 0) save();
}

void Undone::save() {
  std::vector<const pb::Observation*> messages;
  messages.reserve(reports_.size());
  for (const Report& r : reports_) messages.push_back(&r.message);
  if (const Status saved = saved_.save_undone(messages); !saved.ok()) {
    logger_.error(
        "what was undone without a controller cannot be saved; none would hear of it "
        "after a restart",
        {{"error", saved.message()}});
  }
}

}  // namespace dvr::stream
