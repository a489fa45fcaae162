#include "stream/delta.h"

#include <cstring>
#include <optional>
#include <vector>

namespace dvr::stream {
namespace {

Status invalid(std::string what) { return {Code::kInvalid, std::move(what)}; }

// Puts the member before the library's own words.
Status within(std::string_view member, const Status& status) {
  return {status.code(), std::string(member) + ": " + status.message()};
}

Columns view(const pb::Columns& c) {
  return {c.address4(), c.length4(), c.class4(), c.address6(), c.length6(), c.class6()};
}

std::optional<DeltaKind> kind_of(const pb::DeltaChunk& chunk) {
  if (chunk.kind() == pb::DeltaChunk::INCREMENTAL) return DeltaKind::kIncremental;
  if (chunk.kind() == pb::DeltaChunk::FULL) return DeltaKind::kFull;
  return std::nullopt;
}

Status check_buckets(const pb::DeltaChunk& chunk) {
  if (chunk.buckets().empty()) return {};
  if (chunk.kind() != pb::DeltaChunk::FULL) {
    return invalid("buckets: only a full delta has them");
  }
  if (chunk.buckets().size() != sizeof(BucketBitmap)) {
    return invalid("buckets: " + std::to_string(chunk.buckets().size()) + " bytes, must be 128");
  }
  return {};
}

}  // namespace

void Deltas::start(const Position& head, std::string nonce) {
  head_ = head;
  nonce_ = std::move(nonce);
  number_ = 0;
  ended_ = false;
}

Status Deltas::apply(const pb::DeltaChunk& chunk) {
  ended_ = false;
  Status status = check_begin(chunk);
  if (status.ok()) status = check_end(chunk);
  if (status.ok() && !fib_.in_delta()) status = begin(chunk);
  if (status.ok()) {
    ++chunks_;
    status = content(chunk);
  }
  if (status.ok() && chunk.end()) {
    status = fib_.end(from_message(chunk.position()), nonce_);
    if (status.ok()) {
      expected_ = *Digest::from_bytes(chunk.digest());
      ended_ = true;
    }
  }
  if (status.ok()) return status;
  fib_.abort();
  return within("delta " + std::to_string(chunk.delta()), status);
}

bool Deltas::cut() {
  if (!fib_.in_delta()) return false;
  fib_.abort();
  return true;
}

// What must fit the delta in progress, or the one before.
Status Deltas::check_begin(const pb::DeltaChunk& chunk) {
  const auto kind = kind_of(chunk);
  if (!kind) return invalid("kind: unknown");
  if (Status status = check_buckets(chunk); !status.ok()) return status;
  const bool first = !fib_.in_delta();
  if (chunk.delta() != (first ? number_ + 1 : number_)) {
    return invalid("number: " + std::to_string(number_) +
                   (first ? " was the last" : " is in progress"));
  }
  if (first) return {};
  if (*kind != kind_) return invalid("kind: changed within the delta");
  if (!chunk.buckets().empty() && chunk.buckets() != buckets_) {
    return invalid("buckets: changed within the delta");
  }
  return {};
}

// What only the last chunk has; looked at before anything of it is applied.
Status Deltas::check_end(const pb::DeltaChunk& chunk) {
  if (!chunk.end()) return {};
  if (!chunk.has_position()) return invalid("position: absent from the last chunk");
  if (!Digest::from_bytes(chunk.digest())) return invalid("digest: must have 16 bytes");
  const Position to = from_message(chunk.position());
  if (to.log_id != head_.log_id || to.epoch != head_.epoch) {
    return invalid("position: " + to_text(to) + " is not of the log and epoch welcomed to, " +
                   to_text(head_));
  }
  const Summary now = fib_.summary();
  if (now.position.log_id == to.log_id && now.position.epoch == to.epoch &&
      now.epoch_nonce == nonce_ && to.revision < now.position.revision) {
    return invalid("position: revision " + std::to_string(to.revision) + " is older than " +
                   std::to_string(now.position.revision) + ", which is held");
  }
  return {};
}

Status Deltas::begin(const pb::DeltaChunk& chunk) {
  kind_ = *kind_of(chunk);
  buckets_ = chunk.buckets();
  BucketBitmap bitmap{};
  if (!buckets_.empty()) std::memcpy(bitmap.data(), buckets_.data(), bitmap.size());
  Status status = fib_.begin(kind_, buckets_.empty() ? nullptr : &bitmap);
  if (!status.ok()) return status;
  number_ = chunk.delta();
  chunks_ = 0;
  return status;
}

Status Deltas::content(const pb::DeltaChunk& chunk) {
  for (int i = 0; i < chunk.classes_size(); ++i) {
    const pb::Class& c = chunk.classes(i);
    const std::string at = "classes[" + std::to_string(i) + "]";
    const std::optional<ClassId> id = ClassId::from_bytes(c.id());
    if (!id) return invalid(at + ".id: must have 16 bytes");
    if (Status s = fib_.define_class(c.index(), *id, c.vrf()); !s.ok()) return within(at, s);
  }
  std::vector<NextHop> hops;
  for (int i = 0; i < chunk.groups_size(); ++i) {
    const pb::Group& group = chunk.groups(i);
    Status s = from_message(group, &hops);
    if (s.ok()) s = fib_.set_group(group.index(), std::move(hops));
    if (!s.ok()) return within("groups[" + std::to_string(i) + "]", s);
  }
  if (chunk.has_set()) {
    if (Status s = fib_.set(view(chunk.set())); !s.ok()) return within("set", s);
  }
  if (chunk.has_removed()) {
    if (Status s = fib_.remove(view(chunk.removed())); !s.ok()) return within("removed", s);
  }
  for (int i = 0; i < chunk.groups_withdrawn_size(); ++i) {
    const std::string at = "groups_withdrawn[" + std::to_string(i) + "]";
    const std::optional<ClassId> id = ClassId::from_bytes(chunk.groups_withdrawn(i));
    if (!id) return invalid(at + ": must have 16 bytes");
    if (Status s = fib_.withdraw_group(*id); !s.ok()) return within(at, s);
  }
  return {};
}

Status Deltas::undo(const pb::Unconfirmed& unconfirmed) {
  const int count = unconfirmed.inverse_size();
  // The whole envelope first: a table is not made partial for a bad inverse.
  if (count == 0) return invalid("inverse: empty");
  for (int i = 0; i < count; ++i) {
    const pb::DeltaChunk& chunk = unconfirmed.inverse(i);
    const std::string at = "inverse[" + std::to_string(i) + "]";
    if (!kind_of(chunk)) return invalid(at + ".kind: unknown");
    if (chunk.kind() != unconfirmed.inverse(0).kind()) {
      return invalid(at + ".kind: changed within the delta");
    }
    if (Status s = check_buckets(chunk); !s.ok()) return within(at, s);
    if (!chunk.buckets().empty() && chunk.buckets() != unconfirmed.inverse(0).buckets()) {
      return invalid(at + ".buckets: changed within the delta");
    }
    if (chunk.end() != (i == count - 1)) {
      return invalid(at + ".end: must be set on the last chunk only");
    }
  }
  const std::optional<Digest> digest = Digest::from_bytes(unconfirmed.inverse(count - 1).digest());
  if (!digest) return invalid("inverse: digest must have 16 bytes");

  const Summary before = fib_.summary();
  Status status = begin(unconfirmed.inverse(0));
  for (int i = 0; i < count && status.ok(); ++i) status = content(unconfirmed.inverse(i));
  // What the data plane has from before may be newer than the table that this undoes.
  if (status.ok()) status = fib_.end(before.position, before.epoch_nonce, false);
  if (!status.ok()) {
    fib_.abort();
    return within("inverse", status);
  }
  if (fib_.digest() != *digest) {
    return {Code::kState,
            "the digest after it is " + fib_.digest().hex() + ", announced was " + digest->hex()};
  }
  return status;
}

}  // namespace dvr::stream
