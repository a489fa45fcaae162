// The flat table: what the trie says, in the form in which it is found fastest.
//
// The trie is the truth; the flat table is rendered from it, the places that an
// update touches at a time, and can be thrown away and rendered anew. Its form
// is in flat_format.h.
//
// Strides. A node whose content needs no more than a cache line, or little
// memory for each of its runs, is one block of ids that ends the lookup. Above
// that, a node of words takes as many bits as keep kSpread slots a run. IPv4's
// places of 18 bits are always one block of up to 64 ids, unless something is
// longer than /24: two loads.
//
// Updates. A place that is a leaf or a block of ids is rendered as a whole: in
// place where its form stays, slot by slot, else as a new node that one store
// publishes. What was replaced is retired to the epoch. Nodes of words keep their
// stride while what is below them changes; a root slot that has changed twice as often as
// it has runs is rendered anew, so strides follow the content at O(1) an update.
//
// Where memory runs out a leaf says kEscape and the answer is the trie's: an update never
// fails when the trie has changed.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "lib/epoch.h"
#include "lib/flat_arena.h"
#include "lib/flat_format.h"
#include "lib/pages.h"
#include "lib/trie.h"

namespace dvr {

template <class P>
class FlatTable {
 public:
  using Address = typename P::Address;

  // `trie` and `epoch` must outlive the table. Throws std::bad_alloc.
  FlatTable(const Trie<P>* trie, Epoch* epoch, std::size_t limit)
      : trie_(trie),
        epoch_(epoch),
        arena_(std::min(limit, flat::kMaxArena)),
        root_(kRootSlots * sizeof(std::uint32_t), Pages::Huge::kAsk),
        patience_(kRootSlots * sizeof(std::uint16_t)) {
    waiting_.reserve(kMostWaiting);
  }
  ~FlatTable() { epoch_->drain(); }
  FlatTable(const FlatTable&) = delete;
  FlatTable& operator=(const FlatTable&) = delete;

  // IPv6 prefixes below /12, of which the Internet has none and which would cover very much,
  // are left to the trie: a leaf is 0 there.
  static constexpr bool kShortApart = P::kWidth == 128;

  // The trie's answers within p have changed. A default route is no matter of the table.
  void update(const P& p) {
    if (p.length == 0 || (kShortApart && p.length < Trie<P>::kShortBits)) return;
    const auto first = static_cast<std::size_t>(p.address >> (kWidth - kRoot));
    const std::size_t count = p.length >= kRoot ? 1 : std::size_t{1} << (kRoot - p.length);
    for (std::size_t i = first; i < first + count; ++i) update_slot(i, p);
  }

  // The same for many at once, which is cheaper where they are near each other. What
  // `changed` has lies until flush, which changes nothing else.
  void changed(const P& p) {
    if (p.length <= kRoot) {
      update(p);
    } else {
      waiting_.push_back(p);
      if (waiting_.size() >= kMostWaiting) flush();
    }
  }
  void flush() {
    if (waiting_.empty()) return;
    const auto slot_of = [](const P& p) {
      return static_cast<std::size_t>(p.address >> (kWidth - kRoot));
    };
    const auto before = [&](const P& a, const P& b) { return slot_of(a) < slot_of(b); };
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

  // As the trie's.
  void expect(const P& p) const { __builtin_prefetch(&roots()[p.address >> (kWidth - kRoot)]); }
  void expect_node(const P& p) const {
    const std::uint32_t w = load(&roots()[p.address >> (kWidth - kRoot)]);
    if ((w & flat::kNode) == 0) return;
    __builtin_prefetch(block(w) +
                       (slot_in(p.address, kRoot, flat::stride_of(w)) << flat::kind_of(w)));
  }

  // Renders everything. Before there are readers, or beside them.
  void render() {
    for (std::size_t i = 0; i < kRootSlots; ++i) rebuild(i);
  }

  // For lookups inside a guard of the epoch.
  [[nodiscard]] flat::View view() const { return {roots(), arena_.data()}; }

  // Bytes that lookups can touch, of the root what is not a single answer for all.
  [[nodiscard]] std::size_t live() const { return arena_.live() + root_live(); }
  [[nodiscard]] std::size_t bytes() const { return arena_.used() + root_live(); }

 private:
  static constexpr int kWidth = P::kWidth;
  static constexpr int kRoot = flat::kRootBits<P>;
  static constexpr std::size_t kRootSlots = std::size_t{1} << kRoot;
  static constexpr int kFarDepth = 64;
  static constexpr int kFirst = kWidth == 32 ? 6 : 0;  // bits of IPv4's first node

  static constexpr std::size_t kSpread = 8;       // slots of words a run
  static constexpr std::size_t kRoomy = 32;       // bytes of ids a run
  static constexpr std::size_t kAlwaysFine = 64;  // bytes of ids, whatever is in them

  static constexpr std::size_t kLargest = 4096;  // bytes of ids

  static constexpr std::size_t kMany = 3;  // changes after which a root slot is rendered whole

  static constexpr std::size_t kMostWaiting = std::size_t{1} << 16;

  struct Run {
    Address start;
    std::uint32_t id;
  };

  static Address place(std::size_t slot) {
    return static_cast<Address>(static_cast<Address>(slot) << (kWidth - kRoot));
  }
  std::uint32_t* roots() const { return static_cast<std::uint32_t*>(root_.data()); }
  std::uint16_t& patience(std::size_t slot) {
    return static_cast<std::uint16_t*>(patience_.data())[slot];
  }
  std::uint8_t* block(std::uint32_t w) const { return arena_.data() + flat::offset_of(w); }

  // IPv4's root is touched all over; of IPv6's only where there are prefixes or lookups.
  [[nodiscard]] std::size_t root_live() const {
    return kWidth == 32 ? kRootSlots * sizeof(std::uint32_t) : kRootSlots / 8 * 4;
  }

  static std::uint32_t load(const std::uint32_t* at) {
    return __atomic_load_n(at, __ATOMIC_RELAXED);
  }
  static void publish(std::uint32_t* at, std::uint32_t w) {
    __atomic_store_n(at, w, __ATOMIC_RELEASE);
  }
  static bool words_below(std::uint32_t w) {
    return (w & flat::kNode) != 0 && flat::kind_of(w) >= flat::kWords;
  }

  // Renders a root slot that has one answer; false: it has more.
  bool plain(std::size_t slot, std::uint32_t* at) {
    std::uint32_t id;
    if (!trie_->plain(place(slot), kRoot, rest(place(slot)), &id)) return false;
    if (load(at) != id) replace(at, id);
    return true;
  }

  // Renders a root slot, with the strides that suit it now.
  void rebuild(std::size_t slot) {
    guarded(slot, [this, slot](std::uint32_t* at) { rebuild_at(slot, at); });
  }
  void update_slot(std::size_t slot, const P& p) {
    guarded(slot, [this, slot, &p](std::uint32_t* at) { update_at(slot, at, p); });
  }

  // Without memory the slot is the trie's, and what it led to is lost: half of it may be retired.
  template <class F>
  void guarded(std::size_t slot, F render) {
    std::uint32_t* const at = &roots()[slot];
    if (plain(slot, at)) return;
    try {
      render(at);
    } catch (const std::bad_alloc&) {
      publish(at, flat::kEscape);
      far_ = false;
    }
  }

  void rebuild_at(std::size_t slot, std::uint32_t* at) {
    collect(place(slot), kRoot);
    if (words_below(load(at))) {
      replace(at, build(0, runs_.size(), place(slot), kRoot));
    } else {
      adjust(at, 0, runs_.size(), place(slot), kRoot);
    }
    patience(slot) = patience_for(runs_.size());
  }

  void update_at(std::size_t slot, std::uint32_t* at, const P& p) {
    if (words_below(load(at)) && (patience(slot) == 0 || --patience(slot) == 0)) {
      rebuild_at(slot, at);
    } else if (p.length > kRoot) {
      update_within(at, p);
    } else {
      refresh(at, place(slot), kRoot);
    }
  }

  static std::uint16_t patience_for(std::size_t runs) {
    return static_cast<std::uint16_t>(std::min<std::size_t>(16 + 2 * runs, 65535));
  }

  // p is longer than the root slot at `at`.
  void update_within(std::uint32_t* at, const P& p) {
    int depth = kRoot;
    std::uint32_t w = load(at);
    for (; words_below(w); w = load(at)) {
      auto* slots = reinterpret_cast<std::uint32_t*>(block(w));
      if (flat::kind_of(w) == flat::kFar) {
        far_ = true;
        at = slots;
        continue;
      }
      const int below = depth + flat::stride_of(w);
      if (p.length < below) break;
      at = &slots[slot_in(p.address, depth, flat::stride_of(w))];
      depth = below;
    }
    const Address start = p.address & mask_of<Address>(depth);
    if (p.length <= depth) {
      refresh(at, start, depth);
    } else {
      collect(p.address, p.length);
      if ((w & flat::kNode) != 0) {
        adjust_slots(at, p, start, depth);
      } else if (runs_.size() > 1 || runs_[0].id != w) {
        refresh(at, start, depth);
      }
    }
    far_ = false;
  }

  // The runs are those of p, which is within the node at `at`.
  void adjust_slots(std::uint32_t* at, const P& p, Address start, int depth) {
    const std::uint32_t w = load(at);
    const int stride = flat::stride_of(w), below = depth + stride;
    const std::uint32_t kind = flat::kind_of(w);
    if (words_below(w)) {
      adjust_words(w, slot_in(p.address, depth, stride), std::size_t{1} << (below - p.length), 0,
                   runs_.size(), start, depth);
      return;
    }
    const bool one = runs_.size() == 1;
    if (p.length <= below && kind_for(0, runs_.size()) <= kind &&
        bits_needed(0, runs_.size(), depth) <= stride) {
      const std::size_t first = slot_in(p.address, depth, stride);
      fill(w, 0, runs_.size(), first, first + (std::size_t{1} << (below - p.length)), start, depth);
      if (!one || !halves_equal(w)) return;
    }
    refresh(at, start, depth);
  }

  static std::size_t slot_in(Address a, int depth, int stride) {
    return static_cast<std::size_t>(static_cast<Address>(a << depth) >> (kWidth - stride));
  }

  // Where nothing else is: of IPv4 what the short prefixes say but the default route.
  [[nodiscard]] std::uint32_t rest(Address start) const {
    if constexpr (kShortApart) return 0;
    const Hit hit = trie_->short_hit(start);
    return hit.length == 0 ? 0 : hit.id;
  }

  void collect(Address start, int depth) {
    runs_.clear();
    trie_->runs(start, depth, rest(start),
                [this](Address a, std::uint32_t id) { runs_.push_back({a, id}); });
  }

  // Renders a whole place.
  void refresh(std::uint32_t* at, Address start, int depth) {
    collect(start, depth);
    adjust(at, 0, runs_.size(), start, depth);
  }

  // Makes a place what its runs [from, to) are, and keeps of its form what can be kept.
  void adjust(std::uint32_t* at, std::size_t from, std::size_t to, Address start, int depth) {
    const std::uint32_t w = load(at);
    if (to - from == 1) {
      if (w != runs_[from].id) replace(at, runs_[from].id);
    } else if (words_below(w)) {
      if (flat::kind_of(w) == flat::kFar) {
        far_ = true;
        adjust(reinterpret_cast<std::uint32_t*>(block(w)), from, to, start, depth);
        far_ = false;
      } else {
        adjust_words(w, 0, std::size_t{1} << flat::stride_of(w), from, to, start, depth);
      }
    } else if ((w & flat::kNode) != 0 && bits_needed(from, to, depth) == flat::stride_of(w) &&
               kind_for(from, to) == flat::kind_of(w)) {
      fill(w, from, to, 0, std::size_t{1} << flat::stride_of(w), start, depth);
    } else {
      replace(at, build(from, to, start, depth));
    }
  }

  // The same for `count` slots of a node of words.
  void adjust_words(std::uint32_t w, std::size_t first, std::size_t count, std::size_t from,
                    std::size_t to, Address start, int depth) {
    auto* slots = reinterpret_cast<std::uint32_t*>(block(w));
    const int below = depth + flat::stride_of(w);
    std::size_t r = from;
    for (std::size_t i = first; i < first + count; ++i) {
      const Address slot = start | static_cast<Address>(i) << (kWidth - below);
      const std::size_t end = runs_within(&r, to, slot, below);
      adjust(&slots[i], r, end, slot, below);
      r = end - 1;
    }
  }

  // The runs that a place has: [*r, the result), where *r is at or before its first.
  std::size_t runs_within(std::size_t* r, std::size_t to, Address start, int depth) const {
    const Address last = start | static_cast<Address>(~mask_of<Address>(depth));
    while (*r + 1 < to && runs_[*r + 1].start <= start) ++*r;
    std::size_t end = *r + 1;
    while (end < to && runs_[end].start <= last) ++end;
    return end;
  }

  // Each two slots of a node of ids are equal: it could have one bit less.
  [[nodiscard]] bool halves_equal(std::uint32_t w) const {
    const std::uint32_t kind = flat::kind_of(w);
    for (std::size_t i = 0; i < std::size_t{1} << flat::stride_of(w); i += 2) {
      if (flat::load_slot(block(w), kind, i) != flat::load_slot(block(w), kind, i + 1)) {
        return false;
      }
    }
    return true;
  }

  void replace(std::uint32_t* at, std::uint32_t w) {
    const std::uint32_t old = load(at);
    publish(at, w);
    retire(old);
  }

  // Bits behind `depth` after which nothing changes any more.
  int bits_needed(std::size_t from, std::size_t to, int depth) const {
    Address all = 0;
    for (std::size_t i = from + 1; i < to; ++i) all |= runs_[i].start;
    return kWidth - trailing_zeros(all) - depth;
  }
  static int trailing_zeros(Address a) {
    if constexpr (kWidth == 32) {
      return std::countr_zero(a);
    } else {
      const auto low = static_cast<std::uint64_t>(a);
      return low != 0 ? std::countr_zero(low)
                      : 64 + std::countr_zero(static_cast<std::uint64_t>(a >> 64));
    }
  }
  [[nodiscard]] std::uint32_t kind_for(std::size_t from, std::size_t to) const {
    std::uint32_t most = 0;
    for (std::size_t i = from; i < to; ++i) most |= runs_[i].id;
    return most <= 0xff ? flat::kBytes : most <= 0xffff ? flat::kHalves : flat::kWords;
  }

  // The word of a place whose runs are [from, to); the first may begin before it.
  std::uint32_t build(std::size_t from, std::size_t to, Address start, int depth) {
    if (to - from == 1) return runs_[from].id;
    if (kWidth > kFarDepth && depth == kFarDepth && !far_) return build_far(from, to, start);
    int most = std::min(flat::kMaxStride, kWidth - depth);
    if (kWidth > kFarDepth && depth < kFarDepth) most = std::min(most, kFarDepth - depth);
    const int needed = bits_needed(from, to, depth);
    const std::uint32_t kind = kind_for(from, to);
    const bool first = kFirst != 0 && depth == kRoot;
    if (first && kind == flat::kWords) {
      // Vector code counts on nodes of words to have all of IPv4's first bits.
      if (needed <= kFirst) return build_ids(from, to, start, depth, kFirst, kind);
    } else if (needed <= most) {
      const std::size_t bytes = std::size_t{1} << needed << kind;
      const std::size_t roomy = std::min(kRoomy * (to - from), kLargest);
      if ((first && needed <= kFirst) || bytes <= std::max(kAlwaysFine, roomy)) {
        return build_ids(from, to, start, depth, needed, kind);
      }
    }
    const int stride = first ? kFirst : stride_for(from, to, depth, most);
    const int order = FlatArena::order_of(sizeof(std::uint32_t) << stride);
    const std::uint32_t at = arena_.allocate(order);
    if (at == FlatArena::kNone) return flat::kEscape;
    const std::uint32_t w = flat::node_word(flat::kWords, stride, at);
    const int below = depth + stride;
    std::size_t r = from;
    for (std::size_t i = 0; i < std::size_t{1} << stride; ++i) {
      const Address slot = start | static_cast<Address>(i) << (kWidth - below);
      const std::size_t end = runs_within(&r, to, slot, below);
      flat::store_slot(block(w), flat::kWords, i, build(r, end, slot, below));
      r = end - 1;
    }
    return w;
  }

  std::uint32_t build_far(std::size_t from, std::size_t to, Address start) {
    const std::uint32_t at = arena_.allocate(0);
    if (at == FlatArena::kNone) return flat::kEscape;
    far_ = true;
    const std::uint32_t w = build(from, to, start, kFarDepth);
    far_ = false;
    const std::uint32_t far = flat::node_word(flat::kFar, 0, at);
    flat::store_slot(block(far), flat::kWords, 0, w);
    return far;
  }

  std::uint32_t build_ids(std::size_t from, std::size_t to, Address start, int depth, int stride,
                          std::uint32_t kind) {
    const std::uint32_t at = arena_.allocate(FlatArena::order_of(std::size_t{1} << stride << kind));
    if (at == FlatArena::kNone) return flat::kEscape;
    const std::uint32_t w = flat::node_word(kind, stride, at);
    fill(w, from, to, 0, std::size_t{1} << stride, start, depth);
    return w;
  }

  // Makes the slots [first, end) of a node of ids what runs [from, to) are.
  void fill(std::uint32_t w, std::size_t from, std::size_t to, std::size_t first, std::size_t end,
            Address start, int depth) {
    const std::uint32_t kind = flat::kind_of(w);
    const int below = depth + flat::stride_of(w);
    std::size_t i = first;
    for (std::size_t r = from; r < to; ++r) {
      const std::size_t stop =
          r + 1 == to ? end
                      : static_cast<std::size_t>((runs_[r + 1].start - start) >> (kWidth - below));
      const std::uint32_t id = runs_[r].id;
      for (; i < stop; ++i) {
        // Readers keep lines that do not change.
        if (flat::load_slot(block(w), kind, i) != id) flat::store_slot(block(w), kind, i, id);
      }
    }
  }

  // The most bits that keep kSpread slots or fewer for each run there.
  int stride_for(std::size_t from, std::size_t to, int depth, int most) const {
    int best = 1;
    for (int s = 2; s <= most && (std::size_t{1} << s) <= kSpread * (to - from); ++s) {
      std::size_t runs = 1;
      Address before = runs_[from].start >> (kWidth - depth - s);
      for (std::size_t i = from + 1; i < to; ++i) {
        const Address slot = runs_[i].start >> (kWidth - depth - s);
        runs += slot != before ? 1 : 0;
        before = slot;
      }
      if ((std::size_t{1} << s) <= kSpread * runs) best = s;
    }
    return best;
  }

  static std::size_t size_of(std::uint32_t w) {
    if (flat::kind_of(w) == flat::kFar) return sizeof(std::uint32_t);
    return std::size_t{1} << flat::stride_of(w) << flat::kind_of(w);
  }

  // A node and all below it.
  void retire(std::uint32_t w) {
    if ((w & flat::kNode) == 0) return;
    if (words_below(w)) {
      const std::size_t n = size_of(w) / sizeof(std::uint32_t);
      for (std::size_t i = 0; i < n; ++i) retire(flat::load_slot(block(w), flat::kWords, i));
    }
    epoch_->retire(
        [](void* self, std::uint64_t word) {
          const auto node = static_cast<std::uint32_t>(word);
          static_cast<FlatTable*>(self)->arena_.release(node & flat::kBlockMask,
                                                        FlatArena::order_of(size_of(node)));
        },
        this, w);
  }

  const Trie<P>* trie_;
  Epoch* epoch_;
  FlatArena arena_;
  Pages root_;
  Pages patience_;  // by root slot that is a node of words: changes until it is rendered anew
  std::vector<Run> runs_;
  std::vector<P> waiting_;  // changed, not yet rendered
  bool far_ = false;
};

}  // namespace dvr
