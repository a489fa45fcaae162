// Deltas as bytes: what the journal of a state directory holds.
//
//   "DVRJNL\0" version u8 (1) · checksum of the checkpoint it continues (16; zero: an empty table)
//   records: size u32 · checksum of the payload 16 · payload
//
// A payload is one whole delta, the calls that made it one after the other. A
// record whose size or checksum is wrong ends the journal: the process was
// stopped while it wrote, and nothing behind it can be trusted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/digest.h"
#include "lib/fib.h"

namespace dvr {

inline constexpr std::size_t kJournalHeader = 24;

std::string journal_header(const Digest& checkpoint);
// False: not a journal of this version, or of another checkpoint.
bool continues(std::string_view journal, const Digest& checkpoint);

// Collects the calls of one delta.
class DeltaEncoder {
 public:
  void begin(DeltaKind kind, const BucketBitmap* buckets);
  void define_class(std::uint32_t index, const ClassId& id, std::uint32_t local);
  void set_group(std::uint32_t index, std::span<const NextHop> hops);
  void set(const Columns& c);
  void remove(const Columns& c);
  void withdraw(const ClassId& id);
  void end(const Position& p, std::string_view nonce, const Digest& d);

  [[nodiscard]] std::size_t size() const { return payload_.size(); }
  void clear();
  // The finished record; the encoder is empty afterwards.
  std::string take();

 private:
  std::string payload_;
};

struct Replay {
  std::uint64_t deltas = 0;    // applied
  std::size_t good_bytes = 0;  // of the journal, header included
  std::string error;           // a checksummed delta that could not be applied; empty: none
};

// Applies the records of a journal that continues what `fib` holds. Local ids
// are taken over where they are free.
Replay replay_journal(std::string_view journal, Fib* fib);

}  // namespace dvr
