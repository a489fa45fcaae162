#include "lib/fib.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include "lib/bytes.h"
#include "lib/class_directory.h"
#include "lib/engine.h"
#include "lib/epoch.h"
#include "lib/table.h"

namespace dvr {
namespace {

// Classes without prefixes that are kept, with their groups, after a delta.
constexpr std::size_t kDormant = 65536;

std::uint32_t load_u32(const char* p) {
  std::uint32_t v;
  std::memcpy(&v, p, 4);
  if constexpr (std::endian::native == std::endian::big) v = __builtin_bswap32(v);
  return v;
}

template <class A>
A load_address(const char* p) {
  if constexpr (sizeof(A) == 4) {
    return load_u32(p);
  } else {
    return load_u128(p);
  }
}

// One family's columns.
template <class P>
struct Column {
  std::string_view address, length, index;

  [[nodiscard]] std::size_t size() const { return length.size(); }
  [[nodiscard]] bool even(bool with_index) const {
    return address.size() == size() * sizeof(typename P::Address) &&
           (!with_index || index.size() == size() * 4);
  }
  [[nodiscard]] P prefix(std::size_t i) const {
    return {load_address<typename P::Address>(address.data() + i * sizeof(typename P::Address)),
            static_cast<std::uint8_t>(length[i])};
  }
  [[nodiscard]] std::uint32_t class_index(std::size_t i) const {
    return load_u32(index.data() + i * 4);
  }
};

template <class P>
std::string describe(const P& p, std::size_t i) {
  return (P::kWidth == 32 ? "IPv4 entry " : "IPv6 entry ") + std::to_string(i) + " (" +
         to_string(p) + ")";
}

Status check_hops(const std::vector<NextHop>& hops) {
  if (hops.empty()) return {Code::kInvalid, "a group without next hops"};
  if (hops.size() > kMaxNextHops) {
    return {Code::kTooLarge, "a group of " + std::to_string(hops.size()) + " next hops, limit 64"};
  }
  for (const NextHop& h : hops) {
    if (h.type > NextHop::Type::kProhibit || h.type != hops[0].type) {
      return {Code::kInvalid, "next hops of several or unknown types in a group"};
    }
    if (h.weight == 0) return {Code::kInvalid, "a next hop of weight 0"};
    if (h.interface.size() > 255 || h.via.size() > 255) {
      return {Code::kTooLarge, "an interface or router name over 255 bytes in a next hop"};
    }
    if (h.address.family != 0 && h.address.family != 4 && h.address.family != 6) {
      return {Code::kInvalid, "a next hop of an unknown family"};
    }
  }
  return {};
}

}  // namespace

class Fib::Impl {
 public:
  explicit Impl(const FibLimits& l)
      : limits(l),
        classes(&epoch, l.classes),
        engine4(&epoch, l.engine_bytes),
        engine6(&epoch, l.engine_bytes) {
    publish();
  }

  FibLimits limits;
  Epoch epoch;
  ClassDirectory classes;
  Engine4 engine4;
  Engine6 engine6;
  PrefixTable<Prefix4> table4;
  PrefixTable<Prefix6> table6;

  Position position;
  std::string nonce;
  Digest received;  // sum of the shares of all classes
  Digest zombies;   // sum of the prefix items of withdrawn classes
  bool partial = false;
  bool heard = false;
  std::uint64_t live = 0;       // classes that count
  std::uint64_t groupless = 0;  // classes with prefixes but no group
  std::uint64_t pending = 0;    // prefixes of withdrawn classes

  bool delta = false;
  DeltaKind kind = DeltaKind::kIncremental;
  std::uint32_t serial = 0;  // of deltas
  std::optional<BucketBitmap> limited;
  std::vector<std::uint32_t> index;  // of this delta: local ids, 0: undefined
  bool mark = false;                 // the mark of what the current FULL named

  // Of step: slots of table4, then of table6, round and round. A withdrawal does
  // not turn it back, else a stream of them would never let it reach the end.
  std::size_t cursor = 0;
  bool round_helps = false;  // this round removed something, or a withdrawal came

  std::vector<FibListener*> listeners;
  FibRecorder* recorder = nullptr;

  mutable std::mutex summary_mutex;
  Summary shown;

  template <class P>
  auto& table() {
    if constexpr (P::kWidth == 32) {
      return table4;
    } else {
      return table6;
    }
  }
  template <class P>
  auto& engine() {
    if constexpr (P::kWidth == 32) {
      return engine4;
    } else {
      return engine6;
    }
  }
  template <class P>
  [[nodiscard]] std::size_t limit() const {
    return P::kWidth == 32 ? limits.prefixes4 : limits.prefixes6;
  }

  void publish() {
    Summary s;
    s.position = position;
    s.epoch_nonce = nonce;
    s.digest = received;
    s.partial = partial;
    s.heard = heard;
    s.prefixes4 = table4.size();
    s.prefixes6 = table6.size();
    s.classes = live;
    s.pending = pending;
    s.engine_bytes = engine4.bytes() + engine6.bytes();
    s.table_bytes = table4.bytes() + table6.bytes();
    const std::lock_guard lock(summary_mutex);
    shown = std::move(s);
  }

  // Changes a record and keeps every sum right.
  template <class F>
  void change(std::uint32_t local, F f) {
    ClassDirectory::Record& r = classes.at(local);
    const auto lacks = [&r] { return !r.withdrawn && !r.has_group && r.prefixes > 0; };
    received -= r.share();
    live -= r.counts() ? 1 : 0;
    groupless -= lacks() ? 1 : 0;
    f(r);
    received += r.share();
    live += r.counts() ? 1 : 0;
    groupless += lacks() ? 1 : 0;
  }

  void join(std::uint32_t local, const Digest& item) {
    change(local, [&](ClassDirectory::Record& r) {
      r.sum += item;
      ++r.prefixes;
    });
  }

  void leave(std::uint32_t local, const Digest& item) {
    bool last_of_withdrawn = false;
    change(local, [&](ClassDirectory::Record& r) {
      r.sum -= item;
      --r.prefixes;
      if (r.withdrawn) {
        zombies -= item;
        --pending;
        last_of_withdrawn = r.prefixes == 0;
      }
    });
    if (last_of_withdrawn) release_class(local);
  }

  // Lookups find what the tables have.
  void flush() {
    engine4.flush();
    engine6.flush();
  }

  void release_class(std::uint32_t local) {
    flush();  // no lookup that begins now finds the id
    const ClassId id = classes.at(local).class_id;
    for (FibListener* l : listeners) l->class_released(local, id);
    classes.release(local);
  }

  template <class P>
  Status put(const P& p, std::uint32_t local) {
    auto& t = table<P>();
    engine<P>().expect(p);
    const std::size_t slot = t.find(p);
    std::uint32_t old = 0;
    if (slot != t.kNone) {
      t.set_mark(slot, mark);
      old = t.id(slot);
      if (old == local) return {};
    } else if (t.size() >= limit<P>()) {
      return {Code::kTooLarge, "more than " + std::to_string(limit<P>()) + " prefixes"};
    }
    engine<P>().expect_node(p);
    if (!engine<P>().set_later(p, local)) return {Code::kTooLarge, "the lookup engine is full"};
    if (old != 0) {
      t.set_id(slot, local);
    } else {
      t.insert(p, local, mark);
    }
    join(local, prefix_item(p, classes.at(local).class_id));
    for (FibListener* l : listeners) l->prefix_set(Prefix::of(p), local);
    if (old != 0) leave(old, prefix_item(p, classes.at(old).class_id));
    return {};
  }

  // The longest prefix that covers p and is not about to leave.
  template <class P>
  Hit cover_of(const P& p) {
    return table<P>().cover(p, [this](std::uint32_t id) { return !classes.at(id).withdrawn; });
  }

  template <class P>
  Status drop(std::size_t slot) {
    auto& t = table<P>();
    const P p = t.prefix(slot);
    const std::uint32_t local = t.id(slot);
    engine<P>().expect_node(p);
    if (!engine<P>().erase_later(p, cover_of(p)))
      return {Code::kTooLarge, "the lookup engine is full"};
    t.erase(slot);
    for (FibListener* l : listeners) l->prefix_removed(Prefix::of(p));
    leave(local, prefix_item(p, classes.at(local).class_id));
    return {};
  }

  template <class P>
  Status set_column(const Column<P>& c) {
    if (!c.even(true)) return {Code::kInvalid, "columns of unequal counts"};
    // A first load is told its size; later ones mostly name what is there.
    if (table<P>().size() == 0) table<P>().reserve(std::min(c.size(), limit<P>()));
    for (std::size_t i = 0; i < c.size(); ++i) {
      const P p = c.prefix(i);
      if (!p.canonical()) {
        return {Code::kInvalid, describe(p, i) + ": length out of range or host bits set"};
      }
      const std::uint32_t k = c.class_index(i);
      if (k >= index.size() || index[k] == 0) {
        return {Code::kUnknown,
                describe(p, i) + ": class index " + std::to_string(k) + " is not defined"};
      }
      if (Status s = put(p, index[k]); !s.ok()) {
        return {s.code(), describe(p, i) + ": " + s.message()};
      }
    }
    return {};
  }

  template <class P>
  Status remove_column(const Column<P>& c) {
    if (!c.even(false)) return {Code::kInvalid, "columns of unequal counts"};
    for (std::size_t i = 0; i < c.size(); ++i) {
      const P p = c.prefix(i);
      if (!p.canonical()) {
        return {Code::kInvalid, describe(p, i) + ": length out of range or host bits set"};
      }
      const std::size_t slot = table<P>().find(p);
      if (slot == PrefixTable<P>::kNone) continue;
      if (Status s = drop<P>(slot); !s.ok()) return s;
    }
    return {};
  }

  void withdraw_class(std::uint32_t local) {
    ClassDirectory::Record& r = classes.at(local);
    for (FibListener* l : listeners) l->group_changed(local, r.class_id, {});
    bool empty = false;
    change(local, [&](ClassDirectory::Record& record) {
      classes.withdraw(local);
      zombies += record.sum;
      pending += record.prefixes;
      empty = record.prefixes == 0;
    });
    round_helps = true;
    if (empty) release_class(local);
  }

  // After a FULL delta: what it did not name, within its buckets, goes; so do
  // prefixes of withdrawn classes. One pass; an element that moves into a freed
  // slot comes from the part not yet seen, or was seen and stays.
  template <class P>
  Status sweep() {
    auto& t = table<P>();
    for (std::size_t i = 0; i < t.slots();) {
      if (!t.occupied(i)) {
        ++i;
        continue;
      }
      const bool named = t.mark(i) == mark;
      const bool goes = classes.at(t.id(i)).withdrawn ||
                        (!named && (!limited || test_bucket(*limited, bucket_of(t.prefix(i)))));
      if (goes) {
        if (Status s = drop<P>(i); !s.ok()) return s;
      } else {
        t.set_mark(i, mark);
        ++i;
      }
    }
    return {};
  }

  // Every mark becomes `mark`: a cut FULL delta left both kinds.
  template <class P>
  void level_marks() {
    auto& t = table<P>();
    for (std::size_t i = 0; i < t.slots(); ++i) {
      if (t.occupied(i)) t.set_mark(i, mark);
    }
  }

  void withdraw_unnamed() {
    for (std::uint32_t id = 1; id < classes.end(); ++id) {
      const ClassDirectory::Record& r = classes.at(id);
      if (r.used && !r.withdrawn && r.named != serial) withdraw_class(id);
    }
  }

  void release_dormant() {
    if (classes.known() < live + kDormant) return;
    for (std::uint32_t id = 1; id < classes.end(); ++id) {
      const ClassDirectory::Record& r = classes.at(id);
      if (r.used && !r.withdrawn && r.prefixes == 0) release_class(id);
    }
  }

  void over() {
    flush();
    delta = false;
    limited.reset();
    index.clear();
    publish();
    const Summary s = shown;
    for (FibListener* l : listeners) l->delta_ended(s);
    epoch.reclaim();
  }

  void cut() {
    if (!delta) return;
    if (kind == DeltaKind::kFull) {
      level_marks<Prefix4>();
      level_marks<Prefix6>();
    }
    partial = true;
    over();
    if (recorder != nullptr) recorder->aborted();
  }

  // Ends a call inside a delta: an error cuts the delta.
  Status finish(Status s) {
    flush();
    if (!s.ok()) cut();
    return s;
  }

  // What a restored family brought: by local id, the sum and count of its prefixes.
  struct Restored {
    bool sound = false;
    std::vector<std::pair<Digest, std::uint32_t>> classes;
  };

  void save_classes(ByteWriter* w, std::string* out) const {
    std::uint32_t count = 0;
    w->section([&] {
      for (std::uint32_t id = 1; id < classes.end(); ++id) {
        const ClassDirectory::Record& r = classes.at(id);
        if (!r.used || (!r.withdrawn && !r.has_group)) continue;
        ++count;
        w->u32(id);
        w->raw(r.class_id.view());
        w->u8(r.withdrawn ? 1 : 0);
        if (!r.withdrawn) *out += classes.view(id)->packed();
      }
    });
    w->u32(count);
  }

  Status restore_classes(std::string_view section, std::uint32_t count) {
    ByteReader r(section);
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t local = r.u32();
      const ClassId id = r.class_id();
      const bool withdrawn = r.u8() != 0;
      const std::vector<NextHop> hops = withdrawn ? std::vector<NextHop>{} : r.hops();
      if (!r.ok()) break;
      if (!(withdrawn ? classes.add_withdrawn(id, local) : classes.add_as(id, local))) {
        return {Code::kCorrupt, "class " + id.hex() + " cannot have the id it has"};
      }
      if (withdrawn) continue;
      if (Status s = check_hops(hops); !s.ok()) return s;
      classes.set_hops(local, hops);
    }
    return r.ok() && r.left() == 0 ? Status{} : Status{Code::kCorrupt, "classes of a wrong form"};
  }

  // The two families touch nothing in common: an engine that is restored retires nothing to
  // the epoch, which it would when it is filled.
  template <class P>
  void restore_family(std::string_view stored_table, std::uint32_t layout,
                      std::string_view stored_engine, Restored* out) {
    const auto known = [this](std::uint32_t id) {
      return id != 0 && id < classes.end() && classes.at(id).used;
    };
    out->classes.resize(classes.end());
    ByteReader t(stored_table);
    out->sound = table<P>().restore(&t, limit<P>(), [&](const P& p, std::uint32_t id) {
      if (!known(id)) return false;
      auto& [sum, count] = out->classes[id];
      sum += prefix_item(p, classes.at(id).class_id);
      ++count;
      return true;
    });
    using E = std::decay_t<decltype(engine<P>())>;
    if (!out->sound || layout != E::kLayout) return;
    ByteReader r(stored_engine);
    out->sound = engine<P>().restore(&r, known) && r.left() == 0;
  }

  // Another version's engines: filled from the tables.
  template <class P>
  bool fill_engine() {
    auto& t = table<P>();
    for (std::size_t i = 0; i < t.slots(); ++i) {
      if (t.occupied(i) && !engine<P>().set_later(t.prefix(i), t.id(i))) return false;
    }
    engine<P>().flush();
    return true;
  }

  Status restore(std::string_view bytes, const Digest& digest) {
    ByteReader r(bytes);
    const std::string_view stored_classes = r.section();
    const std::uint32_t count = r.u32();
    const std::string_view stored4 = r.section(), stored6 = r.section();
    const std::uint32_t layout = r.u32();
    const std::string_view words4 = r.section(), words6 = r.section();
    if (!r.ok() || r.left() != 0) return {Code::kCorrupt, "it ends too early or too late"};
    if (Status s = restore_classes(stored_classes, count); !s.ok()) return s;
    Restored four, six;
    {
      std::jthread beside([&] { restore_family<Prefix6>(stored6, layout, words6, &six); });
      restore_family<Prefix4>(stored4, layout, words4, &four);
    }
    if (layout != Engine4::kLayout) {
      four.sound = four.sound && six.sound && fill_engine<Prefix4>() && fill_engine<Prefix6>();
    }
    if (!four.sound || !six.sound) return {Code::kCorrupt, "prefixes of a wrong form"};
    for (std::uint32_t id = 1; id < classes.end(); ++id) {
      ClassDirectory::Record& c = classes.at(id);
      if (!c.used) continue;
      c.sum = four.classes[id].first + six.classes[id].first;
      c.prefixes = four.classes[id].second + six.classes[id].second;
      received += c.share();
      live += c.counts() ? 1 : 0;
      if (!c.withdrawn) continue;
      if (c.prefixes == 0) return {Code::kCorrupt, "a class that should be gone"};
      zombies += c.sum;
      pending += c.prefixes;
    }
    if (received != digest) return {Code::kCorrupt, "the table's digest is not the stored one"};
    round_helps = pending > 0;
    return {};
  }

  [[nodiscard]] Status in_delta() const {
    return delta ? Status{} : Status{Code::kState, "no delta in progress"};
  }

  // Removes up to what `budget` slots hold; leaves the cursor behind them.
  template <class P>
  void step_table(std::size_t base, std::size_t* budget) {
    auto& t = table<P>();
    while (*budget > 0 && pending > 0 && cursor >= base && cursor - base < t.slots()) {
      --*budget;
      const std::size_t slot = cursor - base;
      if (t.occupied(slot) && classes.at(t.id(slot)).withdrawn && drop<P>(slot).ok()) {
        round_helps = true;
        continue;  // look at the slot again: another element may have moved here
      }
      ++cursor;
    }
  }

  template <class P>
  void add_buckets(const PrefixTable<P>& t, BucketSums* sums) const {
    for (std::size_t i = 0; i < t.slots(); ++i) {
      if (!t.occupied(i)) continue;
      const ClassDirectory::Record& r = classes.at(t.id(i));
      if (r.withdrawn) continue;
      const P p = t.prefix(i);
      (*sums)[bucket_of(p)] += prefix_item(p, r.class_id);
    }
  }

  template <class P>
  void for_each(const PrefixTable<P>& t,
                const std::function<void(const P&, std::uint32_t)>& f) const {
    for (std::size_t i = 0; i < t.slots(); ++i) {
      if (t.occupied(i) && !classes.at(t.id(i)).withdrawn) f(t.prefix(i), t.id(i));
    }
  }
};

Fib::Fib(const FibLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
Fib::~Fib() = default;

Status Fib::begin(DeltaKind kind, const BucketBitmap* buckets) {
  Impl& f = *impl_;
  if (f.delta) return {Code::kState, "a delta is in progress"};
  if (kind == DeltaKind::kIncremental) {
    if (f.partial) return {Code::kState, "an incremental delta on a partial table"};
    if (buckets != nullptr) return {Code::kInvalid, "buckets in an incremental delta"};
  }
  f.delta = true;
  f.kind = kind;
  ++f.serial;
  if (buckets != nullptr) f.limited = *buckets;
  if (kind == DeltaKind::kFull) f.mark = !f.mark;
  if (f.recorder != nullptr) f.recorder->begun(kind, buckets);
  return {};
}

Status Fib::define_class(std::uint32_t index, const ClassId& id, std::string_view vrf) {
  Impl& f = *impl_;
  if (Status s = f.in_delta(); !s.ok()) return s;
  if (!vrf.empty()) {
    return f.finish(
        {Code::kInvalid, "VRF " + std::string(vrf.substr(0, 63)) + ": not supported yet"});
  }
  if (index >= f.limits.classes) {
    return f.finish({Code::kTooLarge, "class index " + std::to_string(index) + " is too large"});
  }
  if (index >= f.index.size()) {
    f.index.resize(std::max<std::size_t>(index + std::size_t{1}, f.index.size() * 2));
  }
  std::uint32_t local = f.classes.find(id);
  if (f.index[index] != 0 && f.index[index] != local) {
    return f.finish({Code::kInvalid, "class index " + std::to_string(index) + " defined twice"});
  }
  if (local == 0) {
    f.epoch.reclaim();
    local = f.classes.add(id);
    if (local == 0) {
      return f.finish(
          {Code::kTooLarge, "more than " + std::to_string(f.limits.classes) + " classes"});
    }
  }
  f.index[index] = local;
  f.classes.at(local).named = f.serial;
  if (f.recorder != nullptr) f.recorder->class_defined(index, id, local);
  return {};
}

Status Fib::set_group(std::uint32_t index, std::vector<NextHop> hops) {
  Impl& f = *impl_;
  if (Status s = f.in_delta(); !s.ok()) return s;
  if (index >= f.index.size() || f.index[index] == 0) {
    return f.finish(
        {Code::kUnknown, "group of class index " + std::to_string(index) + ": not defined"});
  }
  if (Status s = check_hops(hops); !s.ok()) return f.finish(s);
  canonicalize(&hops);
  const std::uint32_t local = f.index[index];
  if (f.recorder != nullptr) f.recorder->group_set(index, hops);
  bool changed = false;
  f.change(local, [&](ClassDirectory::Record&) { changed = f.classes.set_hops(local, hops); });
  if (!changed) return {};
  for (FibListener* l : f.listeners) l->group_changed(local, f.classes.at(local).class_id, hops);
  return {};
}

Status Fib::set(const Columns& c) {
  Impl& f = *impl_;
  Status s = f.in_delta();
  if (!s.ok()) return s;
  s = f.set_column<Prefix4>({c.address4, c.length4, c.class4});
  if (s.ok()) s = f.set_column<Prefix6>({c.address6, c.length6, c.class6});
  if (s.ok() && f.recorder != nullptr) f.recorder->set(c);
  return f.finish(std::move(s));
}

Status Fib::remove(const Columns& c) {
  Impl& f = *impl_;
  Status s = f.in_delta();
  if (!s.ok()) return s;
  s = f.remove_column<Prefix4>({c.address4, c.length4, {}});
  if (s.ok()) s = f.remove_column<Prefix6>({c.address6, c.length6, {}});
  if (s.ok() && f.recorder != nullptr) f.recorder->removed(c);
  return f.finish(std::move(s));
}

Status Fib::withdraw_group(const ClassId& id) {
  Impl& f = *impl_;
  if (Status s = f.in_delta(); !s.ok()) return s;
  if (const std::uint32_t local = f.classes.find(id); local != 0) {
    // The class may be defined again in this delta: then it is another one.
    std::replace(f.index.begin(), f.index.end(), local, 0u);
    f.withdraw_class(local);
  }
  if (f.recorder != nullptr) f.recorder->withdrawn(id);
  return {};
}

Status Fib::end(const Position& position, std::string_view epoch_nonce, bool heard) {
  Impl& f = *impl_;
  if (Status s = f.in_delta(); !s.ok()) return s;
  if (f.kind == DeltaKind::kFull) {
    f.withdraw_unnamed();
    Status s = f.sweep<Prefix4>();
    if (s.ok()) s = f.sweep<Prefix6>();
    if (!s.ok()) return f.finish(std::move(s));
  }
  if (f.groupless > 0) {
    return f.finish(
        {Code::kUnknown, std::to_string(f.groupless) + " classes have prefixes but no group"});
  }
  f.release_dormant();
  f.position = position;
  f.nonce = epoch_nonce;
  f.partial = false;
  f.heard = heard;
  f.over();
  if (f.recorder != nullptr) f.recorder->ended(position, epoch_nonce, f.received);
  return {};
}

void Fib::abort() { impl_->cut(); }

namespace {

template <class T>
std::string little_endian(std::span<const T> values) {
  std::string s(values.size() * sizeof(T), '\0');
  for (std::size_t i = 0; i < values.size(); ++i) {
    if constexpr (sizeof(T) == 16) {
      store_u128(values[i], s.data() + i * 16);
    } else {
      for (std::size_t k = 0; k < sizeof(T); ++k) {
        s[i * sizeof(T) + k] = static_cast<char>(static_cast<std::uint64_t>(values[i]) >> (8 * k));
      }
    }
  }
  return s;
}

}  // namespace

Status Fib::set4(std::span<const std::uint32_t> address, std::span<const std::uint8_t> length,
                 std::span<const std::uint32_t> class_index) {
  const std::string a = little_endian(address), l = little_endian(length),
                    k = little_endian(class_index);
  Columns c;
  c.address4 = a;
  c.length4 = l;
  c.class4 = k;
  return set(c);
}

Status Fib::set6(std::span<const u128> address, std::span<const std::uint8_t> length,
                 std::span<const std::uint32_t> class_index) {
  const std::string a = little_endian(address), l = little_endian(length),
                    k = little_endian(class_index);
  Columns c;
  c.address6 = a;
  c.length6 = l;
  c.class6 = k;
  return set(c);
}

Status Fib::remove4(std::span<const std::uint32_t> address, std::span<const std::uint8_t> length) {
  const std::string a = little_endian(address), l = little_endian(length);
  Columns c;
  c.address4 = a;
  c.length4 = l;
  return remove(c);
}

Status Fib::remove6(std::span<const u128> address, std::span<const std::uint8_t> length) {
  const std::string a = little_endian(address), l = little_endian(length);
  Columns c;
  c.address6 = a;
  c.length6 = l;
  return remove(c);
}

bool Fib::step(std::size_t max) {
  Impl& f = *impl_;
  f.epoch.reclaim();
  if (f.pending == 0) return false;
  std::size_t budget = max;
  f.step_table<Prefix4>(0, &budget);
  f.step_table<Prefix6>(f.table4.slots(), &budget);
  f.flush();
  // Removals of others may have moved a prefix behind the cursor: go round. A
  // whole round that removed nothing met a full engine: more of them would not help.
  bool stuck = false;
  if (f.cursor >= f.table4.slots() + f.table6.slots()) {
    stuck = !f.round_helps;
    f.round_helps = false;
    f.cursor = 0;
  }
  if (f.pending == 0) f.publish();
  return f.pending > 0 && !stuck;
}

bool Fib::in_delta() const { return impl_->delta; }
Digest Fib::digest() const { return impl_->received; }
Digest Fib::installed_digest() const { return impl_->received + impl_->zombies; }
std::uint64_t Fib::installed_entries() const { return impl_->table4.size() + impl_->table6.size(); }

std::unique_ptr<BucketSums> Fib::buckets() const {
  auto sums = std::make_unique<BucketSums>();
  impl_->add_buckets(impl_->table4, sums.get());
  impl_->add_buckets(impl_->table6, sums.get());
  return sums;
}

void Fib::for_each4(const std::function<void(const Prefix4&, std::uint32_t)>& f) const {
  impl_->for_each(impl_->table4, f);
}

void Fib::for_each6(const std::function<void(const Prefix6&, std::uint32_t)>& f) const {
  impl_->for_each(impl_->table6, f);
}

std::vector<StoredClass> Fib::classes() const {
  std::vector<StoredClass> out;
  for (std::uint32_t id = 1; id < impl_->classes.end(); ++id) {
    const ClassDirectory::Record& r = impl_->classes.at(id);
    if (!r.used || r.withdrawn || !r.has_group) continue;
    out.push_back({id, r.class_id, impl_->classes.view(id)->hops()});
  }
  return out;
}

void Fib::save(std::string* out) const {
  const Impl& f = *impl_;
  ByteWriter w(out);
  f.save_classes(&w, out);
  w.section([&] { f.table4.save(out); });
  w.section([&] { f.table6.save(out); });
  w.u32(Engine4::kLayout);
  w.section([&] { f.engine4.save(out); });
  w.section([&] { f.engine6.save(out); });
}

Status Fib::restore(std::string_view bytes, const Position& position, std::string_view epoch_nonce,
                    const Digest& digest) {
  if (impl_->delta || installed_entries() != 0) return {Code::kState, "the table is not empty"};
  Status s = impl_->restore(bytes, digest);
  if (s.ok()) {
    impl_->position = position;
    impl_->nonce = epoch_nonce;
    impl_->publish();
    impl_->epoch.reclaim();
    return s;
  }
  auto empty = std::make_unique<Impl>(impl_->limits);
  empty->listeners = std::move(impl_->listeners);
  empty->recorder = impl_->recorder;
  impl_ = std::move(empty);
  return s;
}

Status Fib::restore_class(const ClassId& id, std::uint32_t local) {
  if (impl_->classes.add_as(id, local)) return {};
  return {Code::kInvalid,
          "class " + id.hex() + " cannot have the local id " + std::to_string(local)};
}

void Fib::add_listener(FibListener* listener) { impl_->listeners.push_back(listener); }
void Fib::remove_listener(FibListener* listener) { std::erase(impl_->listeners, listener); }
void Fib::set_recorder(FibRecorder* recorder) { impl_->recorder = recorder; }

std::optional<Match> Fib::lookup(const Address& address) const {
  const Epoch::Guard guard(impl_->epoch);
  Match m;
  Hit hit;
  if (address.family == 4) {
    hit = impl_->engine4.lookup(address.as_v4());
    m.prefix =
        Prefix::of(Prefix4{address.as_v4() & mask_of<std::uint32_t>(hit.length), hit.length});
  } else if (address.family == 6) {
    hit = impl_->engine6.lookup(address.bits);
    m.prefix = Prefix::of(Prefix6{address.bits & mask_of<u128>(hit.length), hit.length});
  }
  if (!hit) return std::nullopt;
  const ClassDirectory::View* view = impl_->classes.view(hit.id);
  m.class_id = view->class_id();
  m.id = hit.id;
  m.next_hops = view->hops();
  return m;
}

Hit Fib::lookup4(std::uint32_t address) const {
  const Epoch::Guard guard(impl_->epoch);
  return impl_->engine4.lookup(address);
}

Hit Fib::lookup6(u128 address) const {
  const Epoch::Guard guard(impl_->epoch);
  return impl_->engine6.lookup(address);
}

void Fib::find4(std::span<const std::uint32_t> addresses, std::span<std::uint32_t> ids) const {
  const Epoch::Guard guard(impl_->epoch);
  impl_->engine4.find(addresses, ids);
}

void Fib::find6(std::span<const u128> addresses, std::span<std::uint32_t> ids) const {
  const Epoch::Guard guard(impl_->epoch);
  impl_->engine6.find(addresses, ids);
}

Summary Fib::summary() const {
  const std::lock_guard lock(impl_->summary_mutex);
  return impl_->shown;
}

}  // namespace dvr
