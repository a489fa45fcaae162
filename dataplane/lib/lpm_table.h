// A table of prefixes with its engine, for who has no Fib: what the C interface and the
// benchmarks use.
#pragma once

#include "lib/engine.h"
#include "lib/epoch.h"
#include "lib/table.h"

namespace dvr {

// set and erase: one thread. Lookups: any, each inside a guard of epoch().
template <class P>
class LpmTable {
 public:
  explicit LpmTable(std::size_t limit = std::size_t{1} << 30) : engine_(&epoch_, limit) {}

  // False: no memory, or an id that is not 1..kMaxId, or host bits set; unchanged.
  bool set(const P& p, std::uint32_t id) {
    if (id == 0 || id > kMaxId || !p.canonical()) return false;
    engine_.expect(p);
    const std::size_t slot = prefixes_.find(p);
    if (slot != prefixes_.kNone && prefixes_.id(slot) == id) return true;
    engine_.expect_node(p);
    if (slot == prefixes_.kNone) prefixes_.reserve(prefixes_.size() + 1);  // may throw: before
    if (!engine_.set(p, id)) return false;
    if (slot != prefixes_.kNone) {
      prefixes_.set_id(slot, id);
    } else {
      prefixes_.insert(p, id, false);
    }
    return true;
  }

  // False: it was not there, or no memory; unchanged.
  bool erase(const P& p) {
    if (!p.canonical()) return false;
    engine_.expect(p);
    const std::size_t slot = prefixes_.find(p);
    if (slot == prefixes_.kNone) return false;
    engine_.expect_node(p);
    if (!engine_.erase(p, prefixes_.cover(p, [](std::uint32_t) { return true; }))) return false;
    prefixes_.erase(slot);
    return true;
  }

  [[nodiscard]] const Engine<P>& engine() const { return engine_; }
  [[nodiscard]] const Epoch& epoch() const { return epoch_; }
  [[nodiscard]] std::size_t size() const { return prefixes_.size(); }

 private:
  Epoch epoch_;
  Engine<P> engine_;
  PrefixTable<P> prefixes_;
};

}  // namespace dvr
