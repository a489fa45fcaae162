// Deltas: takes the chunks of a stream and applies them to a Fib as they come.
//
// A chunk's envelope (numbers, kind, dictionary, sizes) is checked here, its
// columns by the Fib, which reads them in place: no prefix is copied between the
// socket's buffer and the table. Bad input ends the delta with a Status that
// names the member at fault; if part of the delta was applied by then, the table
// is partial and the controller will be told.
//
// Cost: O(entries of the chunk); the end of a FULL passes over the table once.
// Memory: nothing is kept between chunks but the Fib's dictionary.
// Threading: the Fib's writer.
#pragma once

#include <cstdint>
#include <string>

#include "lib/fib.h"
#include "lib/status.h"
#include "stream/messages.h"

namespace dvr::stream {

class Deltas {
 public:
  explicit Deltas(Fib& fib) : fib_(fib) {}

  // A stream began: its controller is at `head`, in the epoch of `nonce`. Numbers start at 1.
  void start(const Position& head, std::string nonce);

  // Applies the next chunk. ended() tells whether it completed its delta.
  Status apply(const pb::DeltaChunk& chunk);

  // The stream is over: a delta in progress is cut. Returns whether one was.
  bool cut();

  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] std::uint64_t number() const { return number_; }
  // Of the delta in progress or just ended.
  [[nodiscard]] bool full() const { return kind_ == DeltaKind::kFull; }
  [[nodiscard]] std::uint64_t chunks() const { return chunks_; }
  // Of the delta just ended: the controller's digest after it.
  [[nodiscard]] const Digest& expected() const { return expected_; }

  // Applies an inverse that the controller left behind (complete, with the
  // digest after it). The position stays: the log was not asked. Only between
  // streams. Errors: as apply; kState when the digest afterwards is another one.
  Status undo(const pb::Unconfirmed& unconfirmed);

 private:
  Status check_begin(const pb::DeltaChunk& chunk);
  Status check_end(const pb::DeltaChunk& chunk);
  Status begin(const pb::DeltaChunk& chunk);
  Status content(const pb::DeltaChunk& chunk);

  Fib& fib_;
  Position head_;
  std::string nonce_;
  std::uint64_t number_ = 0;
  std::uint64_t chunks_ = 0;
  DeltaKind kind_ = DeltaKind::kIncremental;
  std::string buckets_;
  Digest expected_;
  bool ended_ = false;
};

}  // namespace dvr::stream
