// The table of a family: the truth, and its rendering in memory that the program reads.
//
// The truth is a trie of our prefixes and those of others, for which the answer is
// kOther. The rendering (layout.h) is made from it, the places that a change touches at a
// time, each published by one release store. It can be thrown away and made anew elsewhere.
//
// A prefix that others have, too, is theirs, unless theirs are weak; ours comes back when
// they go.
//
// Strides. A node whose content needs no more than a cache line, or little memory for each of
// its runs, is one block of ids. Else a skip takes what all that differs has in common, or a
// node of words as many bits as keep kSpread slots a run. A root slot that has changed twice as
// often as it has runs is rendered anew, so strides follow the content.
//
// Where memory runs out the place is kOther, and overflowed() says so.
//
// Threading: one thread at a time.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <map>
#include <vector>

#include "lib/epoch.h"
#include "lib/prefix.h"
#include "lib/table.h"
#include "lib/trie.h"
#include "sinks/xdp/layout.h"
#include "sinks/xdp/memory.h"

namespace dvr::xdp {

template <class P>
class Table {
 public:
  using Address = typename P::Address;
  static constexpr int kRoot = P::kWidth == 32 ? DVR_ROOT4_BITS : DVR_ROOT6_BITS;
  static constexpr std::size_t kRootSlots = std::size_t{1} << kRoot;

  // `limit` bounds the trie. Nothing is rendered before render().
  explicit Table(std::size_t limit) : trie_(&epoch_, limit), patience_(kRootSlots) {}

  // Ours; id >= 2. What they change is rendered by flush().
  void set(const P& p, std::uint32_t id) {
    const auto it = others_.find(p);
    if (it == others_.end()) return put(p, id);
    it->second.ours = id;
    if (it->second.weak) put(p, id);
  }
  void erase(const P& p) {
    const auto it = others_.find(p);
    if (it == others_.end()) return drop(p);
    it->second.ours = 0;
    if (it->second.weak) put(p, DVR_OTHER);
  }
  // Theirs; weak: only where there is none of ours.
  void set_other(const P& p, bool weak) {
    const auto [it, added] = others_.try_emplace(p);
    const std::size_t slot = prefixes_.find(p);
    if (added && slot != prefixes_.kNone) it->second.ours = prefixes_.id(slot);
    it->second.weak = weak;
    put(p, weak && it->second.ours != 0 ? it->second.ours : DVR_OTHER);
  }
  void erase_other(const P& p) {
    const auto it = others_.find(p);
    if (it == others_.end()) return;
    const std::uint32_t id = it->second.ours;
    others_.erase(it);
    if (id != 0) {
      put(p, id);
    } else {
      drop(p);
    }
  }
  [[nodiscard]] std::size_t others() const { return others_.size(); }

  // Renders what has changed since the last time.
  void flush() {
    if (waiting_.empty()) return;
    if (root_ == nullptr) return waiting_.clear();
    const auto before = [](const P& a, const P& b) { return slot_of(a) < slot_of(b); };
    if (!std::is_sorted(waiting_.begin(), waiting_.end(), before)) {
      std::sort(waiting_.begin(), waiting_.end(), before);
    }
    for (std::size_t i = 0; i < waiting_.size();) {
      const std::size_t slot = slot_of(waiting_[i]), first = i;
      while (i < waiting_.size() && slot_of(waiting_[i]) == slot) ++i;
      if (i - first > kMany) {
        rebuild(slot);
      } else {
        for (std::size_t k = first; k < i; ++k) update_slot(slot, waiting_[k]);
      }
    }
    waiting_.clear();
  }

  // Renders everything into memory that is all zero. What there was before is left alone.
  void render(std::uint32_t* root, std::uint32_t* default_id, Pool* pool) {
    root_ = root;
    default_ = default_id;
    pool_ = pool;
    overflowed_ = false;
    waiting_.clear();
    for (std::size_t i = 0; i < kRootSlots; ++i) {
      if (reserved(i)) {
        root_[i] = DVR_OTHER;
      } else {
        rebuild(i);
      }
    }
    note_default();
  }

  // Memory has run out since render(), of the pool or of the trie.
  [[nodiscard]] bool overflowed() const { return overflowed_; }
  // The trie has: the rendering is wrong, and will be.
  [[nodiscard]] bool broken() const { return broken_; }

 private:
  static constexpr int kWidth = P::kWidth;
  static constexpr int kFirst = kWidth == 32 ? 6 : 0;  // bits of IPv4's first node
  static constexpr int kShortBits = Trie<P>::kShortBits;
  static constexpr int kMaxStride = 15;
  static constexpr int kLeastSkip = 5;

  static constexpr std::size_t kSpread = 8;       // slots of words a run
  static constexpr std::size_t kRoomy = 32;       // bytes of ids a run
  static constexpr std::size_t kAlwaysFine = 64;  // bytes of ids, whatever is in them
  static constexpr std::size_t kLargest = 4096;   // bytes of ids
  static constexpr std::size_t kMany = 3;  // changes after which a root slot is rendered whole
  static constexpr std::size_t kMostWaiting = std::size_t{1} << 18;

  struct Run {
    Address start;
    std::uint32_t id;
  };
  struct Theirs {
    std::uint32_t ours = 0;  // the id of the prefix of ours that they hide; 0: none
    bool weak = false;
  };

  static std::size_t slot_of(const P& p) {
    return static_cast<std::size_t>(p.address >> (kWidth - kRoot));
  }
  static Address place(std::size_t slot) {
    return static_cast<Address>(static_cast<Address>(slot) << (kWidth - kRoot));
  }
  // Addresses that routers do not forward to, whatever a table says.
  static bool reserved(std::size_t slot) {
    const std::size_t first = slot >> (kRoot - 8);
    if constexpr (kWidth == 32) return first == 0 || first == 127 || first >= 224;
    return first == 0 || first == 0xff || slot >> (kRoot - 10) == 0x3fa;
  }

  static bool is_node(std::uint32_t w) { return (w & DVR_NODE) != 0; }
  static std::uint32_t kind_of(std::uint32_t w) { return w >> DVR_KIND_SHIFT & 3; }
  static int stride_of(std::uint32_t w) { return static_cast<int>(w >> DVR_STRIDE_SHIFT & 15); }
  static std::uint32_t node_word(std::uint32_t kind, int stride, std::uint32_t block) {
    return DVR_NODE | kind << DVR_KIND_SHIFT |
           static_cast<std::uint32_t>(stride) << DVR_STRIDE_SHIFT | block;
  }
  static bool has_places(std::uint32_t w) { return is_node(w) && kind_of(w) >= DVR_WORDS; }
  static std::uint32_t load(const std::uint32_t* at) {
    return __atomic_load_n(at, __ATOMIC_RELAXED);
  }
  static void publish(std::uint32_t* at, std::uint32_t w) {
    __atomic_store_n(at, w, __ATOMIC_RELEASE);
  }

  std::uint8_t* block(std::uint32_t w) const { return pool_->at(w & DVR_BLOCK_MASK); }
  std::uint32_t* words(std::uint32_t w) const { return reinterpret_cast<std::uint32_t*>(block(w)); }
  dvr_skip* skip(std::uint32_t w) const { return reinterpret_cast<dvr_skip*>(block(w)); }

  [[nodiscard]] std::uint32_t slot(std::uint32_t w, std::size_t i) const {
    const std::uint8_t* b = block(w);
    return kind_of(w) == DVR_BYTES
               ? __atomic_load_n(b + i, __ATOMIC_RELAXED)
               : __atomic_load_n(reinterpret_cast<const std::uint16_t*>(b) + i, __ATOMIC_RELAXED);
  }
  void set_slot(std::uint32_t w, std::size_t i, std::uint32_t id) const {
    std::uint8_t* b = block(w);
    if (kind_of(w) == DVR_BYTES) {
      __atomic_store_n(b + i, static_cast<std::uint8_t>(id), __ATOMIC_RELEASE);
    } else {
      __atomic_store_n(reinterpret_cast<std::uint16_t*>(b) + i, static_cast<std::uint16_t>(id),
                       __ATOMIC_RELEASE);
    }
  }

  // The bits [depth, depth + count) of an address.
  static std::size_t bits_of(Address a, int depth, int count) {
    return static_cast<std::size_t>(static_cast<Address>(a << depth) >> (kWidth - count));
  }
  // Those from depth on, from bit 63 down.
  static std::uint64_t path_of(Address a, int depth) {
    const auto rest = static_cast<Address>(a << depth);
    if constexpr (kWidth == 32) {
      return std::uint64_t{rest} << 32;
    } else {
      return static_cast<std::uint64_t>(rest >> 64);
    }
  }

  // --- The truth.

  void put(const P& p, std::uint32_t id) {
    if (const std::size_t at = prefixes_.find(p); at != prefixes_.kNone) {
      prefixes_.set_id(at, id);
    } else {
      prefixes_.insert(p, id, false);
    }
    if (!trie_.set(p, id)) broken_ = overflowed_ = true;
    changed(p);
  }
  void drop(const P& p) {
    const std::size_t at = prefixes_.find(p);
    if (at == prefixes_.kNone) return;
    if (!trie_.erase(p, prefixes_.cover(p, [](std::uint32_t) { return true; }))) {
      broken_ = overflowed_ = true;
    }
    prefixes_.erase(at);
    changed(p);
  }
  void changed(const P& p) {
    if (p.length == 0) {
      note_default();
    } else if (p.length <= kRoot) {
      if (root_ == nullptr) return;
      const std::size_t first = slot_of(p), count = std::size_t{1} << (kRoot - p.length);
      for (std::size_t i = first; i < first + count; ++i) update_slot(i, p);
    } else if (root_ != nullptr) {
      waiting_.push_back(p);
      if (waiting_.size() >= kMostWaiting) flush();
    }
  }
  void note_default() {
    if (default_ == nullptr) return;
    const std::size_t at = prefixes_.find(P{});
    publish(default_, at == prefixes_.kNone ? 0 : prefixes_.id(at));
  }

  // --- The rendering.

  // What covers addresses that nothing of kShortBits or more covers.
  [[nodiscard]] std::uint32_t rest(Address a) const {
    const Hit hit = trie_.short_hit(a);
    return hit.length == 0 ? DVR_DEFAULT : hit.id;
  }
  void collect(Address at, int depth) {
    runs_.clear();
    trie_.runs(at, depth, rest(at),
               [this](Address start, std::uint32_t id) { runs_.push_back({start, id}); });
  }

  void replace(std::uint32_t* at, std::uint32_t w) {
    const std::uint32_t old = load(at);
    publish(at, w);
    retire(old);
  }
  void retire(std::uint32_t w) {
    if (!is_node(w)) return;
    if (kind_of(w) == DVR_SKIP) {
      retire(load(&skip(w)->target));
    } else if (kind_of(w) == DVR_WORDS) {
      for (std::size_t i = 0; i < std::size_t{1} << stride_of(w); ++i) retire(load(&words(w)[i]));
    }
    pool_->retire(w & DVR_BLOCK_MASK, Pool::order_of(size_of(w)));
  }
  static std::size_t size_of(std::uint32_t w) {
    if (kind_of(w) == DVR_SKIP) return sizeof(dvr_skip);
    return std::size_t{1} << stride_of(w) << kind_of(w);
  }

  // Renders a root slot of one answer; false: it has more.
  bool plain(std::size_t i) {
    std::uint32_t id;
    if (!trie_.plain(place(i), kRoot, rest(place(i)), &id)) return false;
    if (load(&root_[i]) != id) replace(&root_[i], id);
    return true;
  }
  void rebuild(std::size_t i) {
    if (reserved(i) || plain(i)) return;
    collect(place(i), kRoot);
    patience_[i] = static_cast<std::uint16_t>(std::min<std::size_t>(16 + 2 * runs_.size(), 65535));
    adjust(&root_[i], place(i), kRoot);
  }
  void update_slot(std::size_t i, const P& p) {
    if (reserved(i) || plain(i)) return;
    std::uint32_t* at = &root_[i];
    if (p.length <= kRoot || !has_places(load(at)) || patience_[i] == 0 || --patience_[i] == 0) {
      return rebuild(i);
    }
    int depth = kRoot;
    for (std::uint32_t w = load(at); has_places(w); w = load(at)) {
      if (kind_of(w) == DVR_SKIP) {
        const int below = depth + static_cast<int>(skip(w)->bits);
        if (p.length < below ||
            ((path_of(p.address, depth) ^ skip(w)->path) >> (64 - skip(w)->bits)) != 0) {
          break;
        }
        at = &skip(w)->target;
        depth = below;
      } else {
        const int below = depth + stride_of(w);
        if (p.length < below) break;
        at = &words(w)[bits_of(p.address, depth, stride_of(w))];
        depth = below;
      }
    }
    const Address start = p.address & mask_of<Address>(depth);
    collect(start, depth);
    adjust(at, start, depth);
  }

  // Makes a place what the runs say.
  void adjust(std::uint32_t* at, Address start, int depth) {
    const std::uint32_t w = load(at);
    if (runs_.size() > 1 && is_node(w) && !has_places(w) && fits(w, depth)) {
      fill(w, 0, runs_.size(), start, depth);
      return;
    }
    const std::uint32_t now = build(0, runs_.size(), start, depth);
    if (now != w) replace(at, now);
  }
  // A node of ids can take the runs, and is not far too large for them.
  [[nodiscard]] bool fits(std::uint32_t w, int depth) const {
    const int needed = bits_needed(0, runs_.size(), depth);
    return needed <= stride_of(w) && (needed + 2 >= stride_of(w) || size_of(w) <= kAlwaysFine) &&
           kind_for(0, runs_.size()) <= kind_of(w);
  }

  [[nodiscard]] int bits_needed(std::size_t from, std::size_t to, int depth) const {
    Address all = 0;
    for (std::size_t i = from + 1; i < to; ++i) all |= runs_[i].start;
    if constexpr (kWidth == 32) {
      return kWidth - std::countr_zero(all) - depth;
    } else {
      const auto low = static_cast<std::uint64_t>(all);
      return kWidth - depth -
             (low != 0 ? std::countr_zero(low)
                       : 64 + std::countr_zero(static_cast<std::uint64_t>(all >> 64)));
    }
  }
  [[nodiscard]] std::uint32_t kind_for(std::size_t from, std::size_t to) const {
    std::uint32_t most = 0;
    for (std::size_t i = from; i < to; ++i) most |= runs_[i].id;
    return most <= 0xff ? DVR_BYTES : most <= 0xffff ? DVR_HALVES : DVR_WORDS;
  }
  // The end of the runs that begin in the place of the first `depth` bits of `start`; *from
  // is the one that its first address is in.
  std::size_t runs_within(std::size_t* from, std::size_t to, Address start, int depth) const {
    while (*from + 1 < to && runs_[*from + 1].start <= start) ++*from;
    const Address last = start | static_cast<Address>(~mask_of<Address>(depth));
    std::size_t end = *from + 1;
    while (end < to && runs_[end].start <= last) ++end;
    return end;
  }

  // The word of a place whose runs are [from, to); the first may begin before it.
  std::uint32_t build(std::size_t from, std::size_t to, Address start, int depth) {
    if (to - from == 1) return runs_[from].id;
    const int most = std::min(kMaxStride, kWidth - depth);
    const int needed = bits_needed(from, to, depth);
    const std::uint32_t kind = kind_for(from, to);
    const bool first = kFirst != 0 && depth == kRoot;
    if (needed <= most && kind != DVR_WORDS) {
      const std::size_t bytes = std::size_t{1} << needed << kind;
      const std::size_t roomy = std::min(kRoomy * (to - from), kLargest);
      if ((first && needed <= kFirst) || bytes <= std::max(kAlwaysFine, roomy)) {
        return build_ids(from, to, start, depth, needed, kind);
      }
    }
    if (const std::uint32_t w = build_skip(from, to, start, depth); w != 0) return w;
    return build_words(from, to, start, depth, first ? kFirst : stride_for(from, to, depth, most));
  }

  std::uint32_t allocate(std::size_t bytes) {
    const std::uint32_t at = pool_->allocate(Pool::order_of(bytes));
    if (at == Pool::kNone) overflowed_ = true;
    return at;
  }

  std::uint32_t build_ids(std::size_t from, std::size_t to, Address start, int depth, int stride,
                          std::uint32_t kind) {
    const std::uint32_t at = allocate(std::size_t{1} << stride << kind);
    if (at == Pool::kNone) return DVR_OTHER;
    const std::uint32_t w = node_word(kind, stride, at);
    fill(w, from, to, start, depth);
    return w;
  }
  void fill(std::uint32_t w, std::size_t from, std::size_t to, Address start, int depth) {
    const int below = depth + stride_of(w);
    std::size_t i = 0;
    for (std::size_t r = from; r < to; ++r) {
      const std::size_t stop =
          r + 1 == to ? std::size_t{1} << stride_of(w)
                      : static_cast<std::size_t>((runs_[r + 1].start - start) >> (kWidth - below));
      for (; i < stop; ++i) {
        // Caches keep lines that do not change.
        if (slot(w, i) != runs_[r].id) set_slot(w, i, runs_[r].id);
      }
    }
  }

  // 0: the runs have too little in common. Outside of the path is what the first run says, or
  // what the last one does.
  std::uint32_t build_skip(std::size_t from, std::size_t to, Address start, int depth) {
    const Address end = start | static_cast<Address>(~mask_of<Address>(depth));
    const bool around = runs_[from].id == runs_[to - 1].id;
    const Address low = runs_[from + 1].start, high = runs_[to - 1].start - 1;
    const int forward = leading_zeros(static_cast<Address>(low ^ (around ? high : end)));
    const int backward = leading_zeros(static_cast<Address>(start ^ high));
    const bool ahead = forward >= backward;
    const int bits = std::min({(ahead ? forward : backward) - depth, 63, kWidth - depth});
    if (bits < kLeastSkip) return 0;
    const std::uint32_t at = allocate(sizeof(dvr_skip));
    if (at == Pool::kNone) return DVR_OTHER;
    const Address inner = (ahead ? low : start) & mask_of<Address>(depth + bits);
    std::size_t first = from;
    const std::size_t last = runs_within(&first, to, inner, depth + bits);
    const std::uint32_t w = node_word(DVR_SKIP, 0, at);
    dvr_skip* const s = skip(w);
    s->bits = static_cast<std::uint32_t>(bits);
    s->fallback = ahead ? runs_[from].id : runs_[to - 1].id;
    s->path = path_of(inner, depth);
    s->target = build(first, last, inner, depth + bits);
    return w;
  }

  std::uint32_t build_words(std::size_t from, std::size_t to, Address start, int depth,
                            int stride) {
    const std::uint32_t at = allocate(sizeof(std::uint32_t) << stride);
    if (at == Pool::kNone) return DVR_OTHER;
    const std::uint32_t w = node_word(DVR_WORDS, stride, at);
    const int below = depth + stride;
    std::size_t r = from;
    for (std::size_t i = 0; i < std::size_t{1} << stride; ++i) {
      const Address sub = start | static_cast<Address>(i) << (kWidth - below);
      const std::size_t end = runs_within(&r, to, sub, below);
      publish(&words(w)[i], build(r, end, sub, below));
      r = end - 1;
    }
    return w;
  }

  // The most bits that keep kSpread slots or fewer for each run there.
  [[nodiscard]] int stride_for(std::size_t from, std::size_t to, int depth, int most) const {
    int best = 1;
    for (int s = 2; s <= most && (std::size_t{1} << s) <= kSpread * (to - from); ++s) {
      std::size_t runs = 1;
      Address before = runs_[from].start >> (kWidth - depth - s);
      for (std::size_t i = from + 1; i < to; ++i) {
        const Address at = runs_[i].start >> (kWidth - depth - s);
        runs += at != before ? 1 : 0;
        before = at;
      }
      if ((std::size_t{1} << s) <= kSpread * runs) best = s;
    }
    return best;
  }

  Epoch epoch_;
  Trie<P> trie_;
  PrefixTable<P> prefixes_;
  std::map<P, Theirs> others_;

  std::uint32_t* root_ = nullptr;
  std::uint32_t* default_ = nullptr;
  Pool* pool_ = nullptr;
  std::vector<std::uint16_t> patience_;  // by root slot: changes until it is rendered anew
  std::vector<Run> runs_;
  std::vector<P> waiting_;  // changed, not yet rendered
  bool overflowed_ = false;
  bool broken_ = false;
};

using Table4 = Table<Prefix4>;
using Table6 = Table<Prefix6>;

}  // namespace dvr::xdp
