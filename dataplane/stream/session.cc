#include "stream/session.h"

#include <algorithm>

#include "stream/messages.h"

namespace dvr::stream {
namespace {

constexpr std::uint32_t kProtocol = 1;
constexpr std::uint32_t kDigestVersion = 1;
// Counters are dropped, not queued, behind this many messages.
constexpr std::size_t kCongested = 8;
// A controller that asks but does not read is left: answers are not hoarded for it.
constexpr std::size_t kMostQueued = 1024;

}  // namespace

Session::Session(SessionOptions options, Fib& fib, std::vector<Sink*> sinks, Transport& transport,
                 Addresses& addresses, Saved& saved, Unconfirmed& unconfirmed, Board& board,
                 Logger& logger)
    : options_(std::move(options)),
      fib_(fib),
      sink_list_(std::move(sinks)),
      transport_(transport),
      addresses_(addresses),
      saved_(saved),
      unconfirmed_(unconfirmed),
      board_(board),
      logger_(logger),
      deltas_(fib) {}

void Session::opened() {
  welcomed_ = synced_ = diverged_ = adopting_ = false;
  granted_ = options_.credit;
  consumed_ = 0;
  const Summary held = fib_.summary();
  out_.Clear();
  pb::Hello* const hello = out_.mutable_hello();
  hello->set_protocol(kProtocol);
  hello->set_router(options_.router);
  hello->set_instance(options_.instance);
  hello->set_version(options_.version);
  hello->set_takeover(options_.takeover);
  hello->set_adopt(options_.adopt);
  hello->set_credit(options_.credit);
  hello->add_digest_versions(kDigestVersion);
  for (const Sink* sink : sink_list_) hello->add_sinks(sink->name());
  to_message(held.position, hello->mutable_position());
  hello->set_epoch_nonce(held.epoch_nonce);
  // fib_.digest() also describes a partial table, where the summary's does not.
  hello->set_digest(fib_.digest().bytes());
  hello->set_partial(held.partial);
  if (!held.position.log_id.empty() || held.partial) hello->set_buckets(bucket_bytes());
  transport_.send(out_);
}

Session::Outcome Session::handle(const pb::ControllerMessage& message) {
  Outcome outcome;
  if (!welcomed_ && message.kind_case() != pb::ControllerMessage::kWelcome) {
    outcome.status = {Code::kInvalid, "the controller's first message is no welcome"};
    return outcome;
  }
  switch (message.kind_case()) {
    case pb::ControllerMessage::kWelcome:
      outcome.status = welcome(message.welcome());
      outcome.welcomed = outcome.status.ok();
      break;
    case pb::ControllerMessage::kDelta:
      outcome.chunk = true;
      outcome.status = delta(message.delta(), outcome);
      break;
    case pb::ControllerMessage::kLookup:
      if (transport_.queued() >= kMostQueued) {
        outcome.status = {Code::kState, "the controller asks for lookups and reads no answers"};
        break;
      }
      board_.lookups.fetch_add(1, std::memory_order_relaxed);
      out_.Clear();
      answer(fib_, message.lookup(), out_.mutable_lookup());
      transport_.send(out_);
      break;
    case pb::ControllerMessage::kControllers:
      learn(message.controllers().addresses());
      break;
    case pb::ControllerMessage::kUnconfirmed:
      unconfirmed_.keep(message.unconfirmed());
      break;
    case pb::ControllerMessage::kSettled:
      unconfirmed_.settle(message.settled().revision());
      break;
    case pb::ControllerMessage::kAudit:
      outcome.audit = message.audit().id();
      break;
    case pb::ControllerMessage::kConfig:
      outcome.status = configure(message.config());
      break;
    case pb::ControllerMessage::KIND_NOT_SET:
      // A newer controller's message: protocol 1 is extended compatibly.
      logger_.debug("message of an unknown kind ignored");
      break;
  }
  return outcome;
}

void Session::restore() {
  Probes probes;
  // What cannot be read is no reason not to forward: a controller tells it again.
  if (from_message(saved_.load_config(), &probes).ok()) probe(probes);
}

Status Session::configure(const pb::Config& config) {
  Probes probes;
  if (Status status = from_message(config, &probes); !status.ok()) return status;
  if (probes == probes_) return {};
  if (const Status status = saved_.save_config(config); !status.ok()) {
    logger_.error("the configuration cannot be saved", {{"error", status.message()}});
  }
  probe(probes);
  return {};
}

void Session::probe(const Probes& probes) {
  if (probes == probes_) return;
  probes_ = probes;
  bool asked = false;
  for (Sink* sink : sink_list_) asked = sink->probe(probes_) || asked;
  if (probes_.empty()) {
    logger_.info("next hops are not probed any more by the router's configuration");
  } else if (asked) {
    logger_.info("next hops are probed by the router's configuration",
                 {{"probes", probes_.size()}});
  } else {
    logger_.warn("next hops are not probed: that needs --sink kernel or xdp",
                 {{"probes", probes_.size()}});
  }
}

bool Session::closed() {
  welcomed_ = synced_ = diverged_ = false;
  return deltas_.cut();
}

Status Session::welcome(const pb::Welcome& welcome) {
  if (welcomed_) return {Code::kInvalid, "the controller welcomed twice"};
  if (welcome.protocol() != kProtocol || welcome.digest_version() != kDigestVersion) {
    return {Code::kState, "the controller speaks protocol " + std::to_string(welcome.protocol()) +
                              " with digest " + std::to_string(welcome.digest_version()) +
                              ", this data plane 1 with digest 1: upgrade the older one"};
  }
  const Position head = from_message(welcome.head());
  if (head.log_id.empty()) return {Code::kInvalid, "the controller's welcome names no log"};
  const Position held = fib_.summary().position;
  adopting_ = !held.log_id.empty() && held.log_id != head.log_id;
  if (adopting_ && !options_.adopt) {
    return {Code::kState, "the controller belongs to log " + head.log_id +
                              ", the routes held here to log " + held.log_id +
                              ": restart with --adopt to accept the other log"};
  }
  if (!adopting_ && !held.log_id.empty() && head.epoch < held.epoch) {
    return {Code::kState, "the controller is at epoch " + std::to_string(head.epoch) +
                              ", the routes held here are of the later epoch " +
                              std::to_string(held.epoch) +
                              ": it was left behind by a recovery and must rejoin its cluster"};
  }
  if (welcome.has_config()) {
    if (Status status = configure(welcome.config()); !status.ok()) return status;
  }
  welcomed_ = true;
  options_.takeover = false;  // taken over; keeping it would let two instances fight for ever
  node_ = welcome.node();
  deltas_.start(head, welcome.epoch_nonce());
  unconfirmed_.stream_began();
  learn(welcome.controllers());
  return {};
}

Status Session::delta(const pb::DeltaChunk& chunk, Outcome& outcome) {
  if (granted_ == 0) return {Code::kInvalid, "the controller sent more chunks than granted"};
  --granted_;
  if (Status status = deltas_.apply(chunk); !status.ok()) return status;
  ++consumed_;
  if (deltas_.ended()) {
    acknowledge();
    outcome.delta = true;
    if (!synced_) unconfirmed_.stream_synced();
    diverged_ = fib_.digest() != deltas_.expected();
    synced_ = !diverged_;
    if (adopting_) {
      adopting_ = options_.adopt = false;
      logger_.warn("another log was adopted", {{"position", to_text(fib_.summary().position)}});
    }
  }
  if (2 * consumed_ >= options_.credit) {
    out_.Clear();
    out_.mutable_credit()->set_chunks(static_cast<std::uint32_t>(consumed_));
    transport_.send(out_);
    granted_ += consumed_;
    consumed_ = 0;
  }
  return {};
}

void Session::acknowledge() {
  const Summary held = fib_.summary();
  out_.Clear();
  pb::Ack* const ack = out_.mutable_ack();
  ack->set_delta(deltas_.number());
  to_message(held.position, ack->mutable_position());
  ack->set_digest(held.digest.bytes());
  report(&sent_);
  for (const pb::SinkStatus& sink : sent_) {
    *ack->add_sinks() = sink;
    if (sink.deviates()) ack->set_deviates(true);
  }
  transport_.send(out_);
}

bool Session::observe(const pb::Observation& observation) {
  if (!welcomed_ || transport_.queued() >= kMostQueued) return false;
  out_.Clear();
  *out_.mutable_observation() = observation;
  transport_.send(out_);
  return true;
}

void Session::send_counters(const pb::Counters& counters) {
  if (!welcomed_ || transport_.queued() >= kCongested) return;
  out_.Clear();
  *out_.mutable_counters() = counters;
  transport_.send(out_);
}

void Session::send_audit(const pb::AuditReport& report) {
  if (!welcomed_ || transport_.queued() >= kMostQueued) return;
  out_.Clear();
  *out_.mutable_audit() = report;
  transport_.send(out_);
}

SinkCounters Session::sink_counters() const {
  SinkCounters all;
  for (const Sink* sink : sink_list_) {
    for (auto& counter : sink->counters()) all.push_back(std::move(counter));
  }
  return all;
}

void Session::send_sinks() {
  std::vector<pb::SinkStatus> now;
  report(&now);
  for (std::size_t i = 0; i < now.size() && welcomed_; ++i) {
    if (i < sent_.size() && now[i].SerializeAsString() == sent_[i].SerializeAsString()) continue;
    out_.Clear();
    *out_.mutable_sink() = now[i];
    transport_.send(out_);
  }
  sent_ = std::move(now);
}

void Session::learn(const google::protobuf::RepeatedPtrField<std::string>& addresses) {
  if (!addresses_.learn({addresses.begin(), addresses.end()})) return;
  if (const Status status = saved_.save_controllers(addresses_.learnt()); !status.ok()) {
    logger_.error("controllers' addresses cannot be saved", {{"error", status.message()}});
  }
}

void Session::report(std::vector<pb::SinkStatus>* to) const {
  to->clear();
  for (const Sink* sink : sink_list_) to_message(sink->report(), sink->name(), &to->emplace_back());
}

const std::string& Session::bucket_bytes() {
  const Digest digest = fib_.digest();
  if (bucket_digest_ != digest) {
    bucket_bytes_ = to_bytes(*fib_.buckets());
    bucket_digest_ = digest;
  }
  return bucket_bytes_;
}

}  // namespace dvr::stream
