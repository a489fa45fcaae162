#include "lib/delta_journal.h"

#include <limits>
#include <utility>

#include "lib/bytes.h"

namespace dvr {
namespace {

constexpr std::string_view kMagic{"DVRJNL\0\1", 8};
constexpr std::size_t kRecordHeader = 20;

enum Op : std::uint8_t { kBegin = 1, kClass, kGroup, kSet, kRemove, kWithdraw, kEnd };

Status corrupt() { return {Code::kCorrupt, "a journalled delta of a wrong form"}; }

Status apply_op(ByteReader* r, Fib* fib, bool* ended) {
  switch (r->u8()) {
    case kBegin: {
      const auto kind = r->u8() == 0 ? DeltaKind::kIncremental : DeltaKind::kFull;
      if (r->u8() == 0) return fib->begin(kind);
      BucketBitmap buckets{};
      const std::string_view bytes = r->raw(buckets.size());
      if (!r->ok()) return corrupt();
      for (std::size_t i = 0; i < buckets.size(); ++i) {
        buckets[i] = static_cast<std::uint8_t>(bytes[i]);
      }
      return fib->begin(kind, &buckets);
    }
    case kClass: {
      const std::uint32_t index = r->u32();
      const ClassId id = r->class_id();
      const std::uint32_t local = r->u32();
      if (!r->ok()) return corrupt();
      // Fails where the class is known, or where the id is taken: then it gets another one.
      static_cast<void>(fib->restore_class(id, local).ok());
      return fib->define_class(index, id, {});
    }
    case kGroup: {
      const std::uint32_t index = r->u32();
      std::vector<NextHop> hops = r->hops();
      return r->ok() ? fib->set_group(index, std::move(hops)) : corrupt();
    }
    case kSet: {
      Columns c;
      for (std::string_view* s :
           {&c.address4, &c.length4, &c.class4, &c.address6, &c.length6, &c.class6}) {
        *s = r->text();
      }
      return r->ok() ? fib->set(c) : corrupt();
    }
    case kRemove: {
      Columns c;
      for (std::string_view* s : {&c.address4, &c.length4, &c.address6, &c.length6}) *s = r->text();
      return r->ok() ? fib->remove(c) : corrupt();
    }
    case kWithdraw: {
      const ClassId id = r->class_id();
      return r->ok() ? fib->withdraw_group(id) : corrupt();
    }
    case kEnd: {
      Position p;
      p.log_id = r->text();
      p.epoch = r->u64();
      p.revision = r->u64();
      const std::string_view nonce = r->text();
      const Digest d = r->digest();
      if (!r->ok() || r->left() != 0) return corrupt();
      *ended = true;
      if (Status s = fib->end(p, nonce, false); !s.ok()) return s;
      if (fib->digest() != d) return {Code::kCorrupt, "a journalled delta gives another digest"};
      return {};
    }
    default:
      return corrupt();
  }
}

Status apply_delta(std::string_view payload, Fib* fib) {
  ByteReader r(payload);
  bool ended = false;
  while (!ended) {
    if (Status s = apply_op(&r, fib, &ended); !s.ok()) {
      fib->abort();
      return s;
    }
  }
  while (fib->step(std::numeric_limits<std::size_t>::max())) {
  }
  return {};
}

}  // namespace

std::string journal_header(const Digest& checkpoint) {
  return std::string(kMagic) + checkpoint.bytes();
}

bool continues(std::string_view journal, const Digest& checkpoint) {
  return journal.substr(0, kJournalHeader) == journal_header(checkpoint);
}

void DeltaEncoder::begin(DeltaKind kind, const BucketBitmap* buckets) {
  payload_.clear();
  ByteWriter w(&payload_);
  w.u8(kBegin);
  w.u8(static_cast<std::uint8_t>(kind));
  w.u8(buckets != nullptr ? 1 : 0);
  if (buckets == nullptr) return;
  for (const std::uint8_t b : *buckets) w.u8(b);
}

void DeltaEncoder::define_class(std::uint32_t index, const ClassId& id, std::uint32_t local) {
  ByteWriter w(&payload_);
  w.u8(kClass);
  w.u32(index);
  w.raw(id.view());
  w.u32(local);
}

void DeltaEncoder::set_group(std::uint32_t index, std::span<const NextHop> hops) {
  ByteWriter w(&payload_);
  w.u8(kGroup);
  w.u32(index);
  w.hops(hops);
}

void DeltaEncoder::set(const Columns& c) {
  ByteWriter w(&payload_);
  w.u8(kSet);
  for (const std::string_view s :
       {c.address4, c.length4, c.class4, c.address6, c.length6, c.class6}) {
    w.text(s);
  }
}

void DeltaEncoder::remove(const Columns& c) {
  ByteWriter w(&payload_);
  w.u8(kRemove);
  for (const std::string_view s : {c.address4, c.length4, c.address6, c.length6}) w.text(s);
}

void DeltaEncoder::withdraw(const ClassId& id) {
  ByteWriter w(&payload_);
  w.u8(kWithdraw);
  w.raw(id.view());
}

void DeltaEncoder::end(const Position& p, std::string_view nonce, const Digest& d) {
  ByteWriter w(&payload_);
  w.u8(kEnd);
  w.text(p.log_id);
  w.u64(p.epoch);
  w.u64(p.revision);
  w.text(nonce);
  w.raw(d.bytes());
}

void DeltaEncoder::clear() {
  payload_.clear();
  payload_.shrink_to_fit();
}

std::string DeltaEncoder::take() {
  std::string record;
  record.reserve(kRecordHeader + payload_.size());
  ByteWriter w(&record);
  w.u32(static_cast<std::uint32_t>(payload_.size()));
  w.raw(murmur3(payload_.data(), payload_.size()).bytes());
  w.raw(payload_);
  clear();
  return record;
}

Replay replay_journal(std::string_view journal, Fib* fib) {
  Replay result;
  result.good_bytes = std::min(journal.size(), kJournalHeader);
  while (journal.size() - result.good_bytes >= kRecordHeader) {
    ByteReader r(journal.substr(result.good_bytes));
    const std::uint32_t size = r.u32();
    const Digest checksum = r.digest();
    const std::string_view payload = r.raw(size);
    if (!r.ok() || murmur3(payload.data(), payload.size()) != checksum) break;
    if (Status s = apply_delta(payload, fib); !s.ok()) {
      result.error = s.message();
      break;
    }
    ++result.deltas;
    result.good_bytes += kRecordHeader + size;
  }
  return result;
}

}  // namespace dvr
