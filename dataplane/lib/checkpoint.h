// The state directory of a data plane: what survives a restart.
//
//   lock             held while a process uses the directory
//   instance         the instance id, a UUID made at first use
//   <name>.blob      small named values (controllers, unconfirmed deltas, ...)
//   fib.checkpoint   the FIB: positions, classes with local ids, columns
//   fib.journal      complete deltas since that checkpoint
//
// Everything carries a checksum. Files are replaced by write, fsync, rename,
// fsync of the directory; the journal is appended to and a torn tail is cut at
// load. A file that is damaged otherwise is renamed to <name>.damaged and
// reported, and the data plane starts without it: the controller sends again.
//
// The directory never delays an ack. StateDirectory records deltas in memory
// while the Fib applies them; flush(), called by the writer between deltas,
// hands them to the directory's own thread, which writes and syncs. When the
// journal would grow past its limit, a delta is too large for it, or a table was partial, flush()
// copies the FIB (about 35 ms a million prefixes) and the thread
// writes a new checkpoint. So after a crash the FIB is the one of a position a
// little before the last ack, and the controller sends the difference.
//
// A checkpoint loads without inserting prefix by prefix, a journal does not: its
// limit is what bounds the time of a restart.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "lib/fib.h"
#include "lib/status.h"

namespace dvr {

// LoadReport says what load() found.
struct LoadReport {
  bool found = false;            // a checkpoint was loaded
  std::uint64_t deltas = 0;      // replayed from the journal
  std::uint64_t torn_bytes = 0;  // cut off the journal's end
  std::string damaged;           // file that was set aside and why; empty: none
  std::string unwritable;        // why nothing can be saved for now; empty: it can
};

struct StateOptions {
  // Bytes, or a sixth of the checkpoint where that is more; then a checkpoint replaces it.
  std::uint64_t journal_limit = 4u << 20;
  std::uint64_t queue_limit = 16u << 20;  // bytes not written yet; then the disk is too slow
  std::uint64_t delta_limit = 4u << 20;   // a larger delta is not journalled but checkpointed
  bool sync = true;                       // fsync; false only in tests
};

class StateDirectory final : public FibRecorder {
 public:
  // Creates the directory if need be (mode 0700), locks it, reads or makes the instance id.
  static Status open(const std::string& path, const StateOptions& options,
                     std::unique_ptr<StateDirectory>* out);
  // As close().
  ~StateDirectory() override;
  StateDirectory(const StateDirectory&) = delete;
  StateDirectory& operator=(const StateDirectory&) = delete;

  [[nodiscard]] const std::string& instance() const;

  // Small values, each replaced atomically and synced before save returns.
  // Names: [a-z0-9-]{1,64}. Values at most 16 MiB. load_blob: none when absent; a damaged
  // one is set aside and absent. An empty value removes. Any thread; not while one of the
  // same name is being saved later.
  Status save_blob(std::string_view name, std::string_view value);
  // The same by the directory's thread, on disk in the order of the calls and of flush(): what
  // was handed over before is there before it, what comes later after it. It waits only
  // for a disk that is 16 MiB of blobs behind. Before the thread runs (attach) it saves at
  // once. sync() and error() tell what failed; load_blob sees it after sync(). The writer's.
  Status save_blob_later(std::string_view name, std::string value);
  std::optional<std::string> load_blob(std::string_view name);

  // Fills an empty Fib from checkpoint and journal; it is served at once after.
  // Damage is in the report, and so is a disk that cannot be written now: what was
  // saved is forwarded by, and saving is tried again with the next deltas. An
  // error means that the files cannot be read.
  Status load(Fib* fib, LoadReport* report);

  // Records `fib` (as its recorder) from now on; call after load. The Fib must
  // outlive the recording: call close() or detach() first.
  void attach(Fib* fib);
  void detach();

  // Hands what was recorded to the thread; starts a checkpoint when one is due
  // and none is being written. On the writer's thread, between deltas; cheap. False: what
  // the Fib holds waits for a checkpoint that cannot be started yet.
  bool flush();
  // Waits until all that was handed over is on disk; the first error since the last call
  // of this or error().
  Status sync();
  // The same without waiting: what went wrong on disk meanwhile. Any thread.
  Status error();
  // Asks for a checkpoint at the next flush.
  void request_checkpoint();
  // flush and sync, then ends the thread and unlocks.
  void close();

  // FibRecorder.
  void begun(DeltaKind kind, const BucketBitmap* buckets) override;
  void class_defined(std::uint32_t index, const ClassId& id, std::uint32_t local) override;
  void group_set(std::uint32_t index, std::span<const NextHop> hops) override;
  void set(const Columns& c) override;
  void removed(const Columns& c) override;
  void withdrawn(const ClassId& id) override;
  void ended(const Position& p, std::string_view epoch_nonce, const Digest& d) override;
  void aborted() override;

 private:
  class Impl;
  explicit StateDirectory(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dvr
