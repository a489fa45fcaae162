// One router's forwarding table.
//
// Fib is the state of a data plane: which position of the log it is at, every
// prefix with its class, every class with its next-hop group, and the digests
// that prove it equal to the controller's. Deltas (decision 2) are applied to
// it chunk by chunk; a call's prefixes are visible, one by one, when it returns. There
// is no second copy of a table. A FULL delta reconciles: what is equal is not
// touched, what it does not name is swept away at its end.
//
// Threads. One thread, the writer, calls everything that is not marked "any
// thread"; several threads may take turns if they synchronize. Readers never
// wait: engines publish by release stores, groups are immutable snapshots
// behind atomic pointers, and what was unlinked is freed only after every
// reader that could see it has left (epoch.h). A reader sees each prefix and
// each group before or after a change, never between.
//
// Ids. Classes have dense local ids (1...), stable while the class is known,
// given again only after no prefix and no reader can mean the old class.
//
// Errors. Bad input is refused with a Status that says which entry is wrong;
// the entries before it stay applied. The table is consistent then, but
// `partial`: position and digest of the log do not describe it, and only a
// FULL delta makes it whole again.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/digest.h"
#include "lib/group.h"
#include "lib/hit.h"
#include "lib/prefix.h"
#include "lib/status.h"

namespace dvr {

// Position in the log. An empty log_id: none.
struct Position {
  std::string log_id;
  std::uint64_t epoch = 0;
  std::uint64_t revision = 0;

  friend bool operator==(const Position&, const Position&) = default;
};

enum class DeltaKind : std::uint8_t { kIncremental = 0, kFull = 1 };

// Columns are the wire form of packed prefixes (proto Columns): little-endian
// u32 addresses and class indexes, 16-byte network-order IPv6 addresses, one
// byte a length. No alignment is needed. Views are used only during the call.
struct Columns {
  std::string_view address4, length4, class4;
  std::string_view address6, length6, class6;
};

// Match is the answer to a lookup: a snapshot, owned by the caller. A class
// that was withdrawn has no next hops and is no route any more: packets are
// dropped until the prefix leaves and falls to what covers it.
struct Match {
  Prefix prefix;
  ClassId class_id;
  std::uint32_t id = 0;            // the local id of the class
  std::vector<NextHop> next_hops;  // empty: the class was withdrawn
};

// Summary describes the table after the last delta that ended or was aborted.
struct Summary {
  Position position;
  std::string epoch_nonce;
  Digest digest;         // of what was received
  bool partial = false;  // a delta was cut: position and digest are of no table
  bool heard = false;  // the last delta that ended came from a controller, not from what was saved
  std::uint64_t prefixes4 = 0;
  std::uint64_t prefixes6 = 0;
  std::uint64_t classes = 0;       // with a group and at least one prefix
  std::uint64_t pending = 0;       // prefixes of withdrawn classes that step() has to remove
  std::uint64_t engine_bytes = 0;  // memory of both lookup engines
  std::uint64_t table_bytes = 0;   // memory of the prefix tables
};

// FibListener hears of every change, on the writer's thread, while it is made.
// A class's group is told before a prefix that refers to it; its release after
// the last prefix left. Prefixes that a delta names without changing are not told.
class FibListener {
 public:
  virtual ~FibListener() = default;
  virtual void group_changed(std::uint32_t id, const ClassId& class_id,
                             std::span<const NextHop> hops) = 0;  // empty: withdrawn, drop
  virtual void prefix_set(const Prefix& p, std::uint32_t id) = 0;
  virtual void prefix_removed(const Prefix& p) = 0;
  virtual void class_released(std::uint32_t id, const ClassId& class_id) = 0;
  virtual void delta_ended(const Summary& summary) = 0;  // also after abort
};

// FibRecorder hears every writer call that succeeded: enough to replay it.
class FibRecorder {
 public:
  virtual ~FibRecorder() = default;
  virtual void begun(DeltaKind kind, const BucketBitmap* buckets) = 0;
  virtual void class_defined(std::uint32_t index, const ClassId& id, std::uint32_t local) = 0;
  virtual void group_set(std::uint32_t index, std::span<const NextHop> hops) = 0;
  virtual void set(const Columns& c) = 0;
  virtual void removed(const Columns& c) = 0;
  virtual void withdrawn(const ClassId& id) = 0;
  virtual void ended(const Position& p, std::string_view epoch_nonce, const Digest& d) = 0;
  virtual void aborted() = 0;
};

// Limits bound what input can make a Fib allocate.
struct FibLimits {
  std::size_t prefixes4 = 8u << 20;
  std::size_t prefixes6 = 4u << 20;
  std::size_t classes = 1u << 20;
  std::size_t engine_bytes = std::size_t{1} << 30;  // each engine, address space reserved
};

// StoredClass is a class as a checkpoint holds it.
struct StoredClass {
  std::uint32_t id = 0;
  ClassId class_id;
  std::vector<NextHop> hops;
};

class Fib {
 public:
  explicit Fib(const FibLimits& limits = {});
  ~Fib();
  Fib(const Fib&) = delete;
  Fib& operator=(const Fib&) = delete;

  // --- Applying a delta. begin, then the others in the order of the chunks
  // (in each: classes, groups, set, removed, withdrawn), then end or abort.
  // After an error the delta is over and the table partial, as by abort().

  // Starts a delta. `buckets` (FULL only; null: all) limits which prefixes the
  // end sweeps. INCREMENTAL on a partial table is refused. Cost of a FULL:
  // O(1) here, one pass over the table at its end.
  Status begin(DeltaKind kind, const BucketBitmap* buckets = nullptr);
  // Binds an index of this delta's dictionary. Only the default VRF (empty) is
  // served; indexes must be below the class limit; repeating a binding is fine.
  Status define_class(std::uint32_t index, const ClassId& id, std::string_view vrf);
  // Sets the group of a class; brought into canonical order. 1..64 hops of one type.
  Status set_group(std::uint32_t index, std::vector<NextHop> hops);
  Status set(const Columns& c);
  // `class4` and `class6` are ignored. Removing what is not there is no error.
  Status remove(const Columns& c);
  // Drops a class: its group is empty and out of the digest at once, its
  // prefixes leave by step(). An unknown class is no error.
  Status withdraw_group(const ClassId& id);
  // Finishes: sweeps after a FULL, then position, nonce and digest stand.
  // Refused (kUnknown) when a prefix refers to a class that has no group. heard: see Summary.
  Status end(const Position& position, std::string_view epoch_nonce, bool heard = true);
  // The delta was cut: whatever came stays, the table is partial. Harmless
  // without a delta in progress.
  void abort();

  // Typed forms of set and remove for tests and tools.
  Status set4(std::span<const std::uint32_t> address, std::span<const std::uint8_t> length,
              std::span<const std::uint32_t> class_index);
  Status set6(std::span<const u128> address, std::span<const std::uint8_t> length,
              std::span<const std::uint32_t> class_index);
  Status remove4(std::span<const std::uint32_t> address, std::span<const std::uint8_t> length);
  Status remove6(std::span<const u128> address, std::span<const std::uint8_t> length);

  // Removes prefixes of withdrawn classes, looking at up to `max` table slots;
  // true while there is more to do. Also reclaims memory. Call when idle, and
  // until false before a kernel or checkpoint must equal the digest.
  bool step(std::size_t max);

  [[nodiscard]] bool in_delta() const;
  // Digest of what was received: also in the middle of a delta.
  [[nodiscard]] Digest digest() const;
  // Digest of what lookups use: differs from digest() while step() has work.
  [[nodiscard]] Digest installed_digest() const;
  // Prefixes that lookups use, withdrawn ones included.
  [[nodiscard]] std::uint64_t installed_entries() const;
  // Sums by bucket of what was received. Cost: one pass and a hash a prefix (about 20 ms a
  // million).
  [[nodiscard]] std::unique_ptr<BucketSums> buckets() const;
  // Prefixes of withdrawn classes are left out of both.
  void for_each4(const std::function<void(const Prefix4&, std::uint32_t id)>& f) const;
  void for_each6(const std::function<void(const Prefix6&, std::uint32_t id)>& f) const;
  [[nodiscard]] std::vector<StoredClass> classes() const;
  // A copy of everything but position and nonce, and back into an empty Fib that nobody
  // reads yet: prefixes, classes and engines as they are, so that restoring costs some 90 ns
  // a prefix, a third of setting it, and both families go side by side. save: outside a
  // delta, not partial. Restored bytes may be anything: kCorrupt with the Fib empty, or
  // tables whose sums, computed anew, give `digest`, and engines that are sound tries over
  // their classes. That engines and tables agree is left to the file's checksum.
  void save(std::string* out) const;
  Status restore(std::string_view bytes, const Position& position, std::string_view epoch_nonce,
                 const Digest& digest);
  // Claims a local id for a class that is not known yet (from a checkpoint).
  Status restore_class(const ClassId& id, std::uint32_t local);

  // Listeners must outlive the Fib or be removed; a new one is not told what is there.
  void add_listener(FibListener* listener);
  void remove_listener(FibListener* listener);
  void set_recorder(FibRecorder* recorder);  // null: none

  // --- Any thread.

  [[nodiscard]] std::optional<Match> lookup(const Address& address) const;
  // Local class id and matched length only; nothing allocated. For who wants the length.
  [[nodiscard]] Hit lookup4(std::uint32_t address) const;
  [[nodiscard]] Hit lookup6(u128 address) const;
  // What forwarding asks: one local class id an address, 0: none; ids.size() >=
  // addresses.size(). Fastest for 128 and more at once.
  void find4(std::span<const std::uint32_t> addresses, std::span<std::uint32_t> ids) const;
  void find6(std::span<const u128> addresses, std::span<std::uint32_t> ids) const;
  // A copy of what the last end or abort left. Takes a mutex for the copy.
  [[nodiscard]] Summary summary() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dvr
