// The prefix table: every prefix of a family and its class.
//
// Open addressing with linear probing; a slot is the key and a word of id, length and
// mark: 8 bytes for IPv4, 20 for IPv6, at most 4/5 full.
// Removal shifts back, so there are no tombstones. Writer's thread only.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "lib/bytes.h"
#include "lib/hit.h"
#include "lib/pages.h"
#include "lib/prefix.h"

namespace dvr {

template <class P>
class PrefixTable {
 public:
  using Address = typename P::Address;
  static constexpr std::size_t kNone = ~std::size_t{0};

  PrefixTable() { resize(kSmallest); }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t slots() const { return slots_.size(); }
  [[nodiscard]] std::size_t bytes() const {
    return slots() * sizeof(Slot) + blocks_.size() * sizeof(Lengths);
  }
  [[nodiscard]] bool occupied(std::size_t slot) const { return slots_[slot].meta != 0; }
  [[nodiscard]] std::uint32_t id(std::size_t slot) const { return slots_[slot].meta & kId; }
  [[nodiscard]] bool mark(std::size_t slot) const { return (slots_[slot].meta & kMark) != 0; }
  [[nodiscard]] P prefix(std::size_t slot) const {
    return {unpack(slots_[slot].key), static_cast<std::uint8_t>(slots_[slot].meta >> kLengthShift)};
  }
  // How many prefixes have this length.
  [[nodiscard]] std::size_t count(int length) const {
    return lengths_[static_cast<std::size_t>(length)];
  }

  void set_id(std::size_t slot, std::uint32_t id) {
    slots_[slot].meta = (slots_[slot].meta & ~kId) | id;
  }
  void set_mark(std::size_t slot, bool mark) {
    slots_[slot].meta = (slots_[slot].meta & ~kMark) | (mark ? kMark : 0);
  }

  [[nodiscard]] std::size_t find(const P& p) const {
    const Key key = pack(p.address);
    for (std::size_t i = home(p);; i = (i + 1) & mask()) {
      if (slots_[i].meta == 0) return kNone;
      if (slots_[i].key == key && slots_[i].meta >> kLengthShift == p.length) return i;
    }
  }

  // The longest prefix that covers p, is shorter, and whose id usable(id) admits; an
  // empty Hit: none. Cost: a probe for each length that prefixes near p have or had; their
  // cache misses overlap.
  template <class F>
  [[nodiscard]] Hit cover(const P& p, F usable) const {
    constexpr int kAhead = 8;
    const Near near = lengths_near(p.address);
    std::array<P, kAhead> next;
    int length = p.length - 1;
    while (length >= 0) {
      int n = 0;
      for (; length >= 0 && n < kAhead; --length) {
        if (lengths_[static_cast<std::size_t>(length)] == 0 || !near.has(length)) continue;
        const P c{static_cast<Address>(p.address & mask_of<Address>(length)),
                  static_cast<std::uint8_t>(length)};
        __builtin_prefetch(&slots_[home(c)]);
        next[static_cast<std::size_t>(n++)] = c;
      }
      for (int i = 0; i < n; ++i) {
        const P& c = next[static_cast<std::size_t>(i)];
        const std::size_t slot = find(c);
        if (slot != kNone && usable(id(slot))) return {id(slot), c.length};
      }
    }
    return {};
  }

  // p must not be there; id >= 1. Slots move when the table grows.
  void insert(const P& p, std::uint32_t id, bool mark) {
    if ((size_ + 1) * 5 > slots() * 4) resize(slots() * 2);
    place(p, std::uint32_t{p.length} << kLengthShift | (mark ? kMark : 0) | id);
    note(p);
    ++size_;
    ++lengths_[p.length];
  }

  // Frees a slot; an element of a later slot may move into it.
  void erase(std::size_t slot) {
    --size_;
    --lengths_[slots_[slot].meta >> kLengthShift];
    std::size_t hole = slot;
    for (std::size_t i = (hole + 1) & mask(); slots_[i].meta != 0; i = (i + 1) & mask()) {
      const std::size_t from_home = (i - home(prefix(i))) & mask();
      if (from_home >= ((i - hole) & mask())) {
        slots_[hole] = slots_[i];
        hole = i;
      }
    }
    slots_[hole].meta = 0;
  }

  void reserve(std::size_t n) {
    std::size_t slots_needed = slots();
    while (n * 5 > slots_needed * 4) slots_needed *= 2;
    if (slots_needed != slots()) resize(slots_needed);
  }

  // A copy, for a restart: the occupied slots as they are, so that loading places
  // every prefix without looking for its place.
  void save(std::string* out) const {
    ByteWriter w(out);
    w.u64(slots());
    w.u64(seed_);
    std::string bitmap(slots() / 8, '\0');
    std::vector<std::uint32_t> at;
    at.reserve(size_);
    for (std::size_t i = 0; i < slots(); ++i) {
      if (!occupied(i)) continue;
      bitmap[i / 8] = static_cast<char>(bitmap[i / 8] | 1 << (i % 8));
      at.push_back(static_cast<std::uint32_t>(i));
    }
    w.raw(bitmap);
    w.words(size_ * kKeyWords, [this, &at](std::size_t i) {
      return key_word(slots_[at[i / kKeyWords]].key, i % kKeyWords);
    });
    w.words(size_, [this, &at](std::size_t i) { return slots_[at[i]].meta & ~kMark; });
  }

  // Takes it into an empty table of at most `limit` prefixes, and tells f(prefix, id) of each;
  // where f says false, or no table could have written the bytes: false, and
  // the table must not be used.
  template <class F>
  [[nodiscard]] bool restore(ByteReader* in, std::size_t limit, F f) {
    const std::uint64_t n = in->u64();
    const std::uint64_t seed = in->u64();
    if (n < kSmallest || !std::has_single_bit(n) || n / 8 > in->left()) return false;
    const std::string_view bitmap = in->raw(n / 8);
    std::size_t count = 0;
    for (const char c : bitmap) {
      count += static_cast<std::size_t>(std::popcount(static_cast<unsigned char>(c)));
    }
    if (count > limit || count * 5 > n * 4) return false;
    const std::string_view keys = in->words(count * kKeyWords);
    const std::string_view metas = in->words(count);
    if (!in->ok() || in->left() != 0 || size_ != 0) return false;
    resize(static_cast<std::size_t>(n));
    seed_ = seed;
    size_ = count;
    std::size_t k = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if ((static_cast<unsigned char>(bitmap[i / 8]) >> (i % 8) & 1u) == 0) continue;
      const std::uint32_t meta = word_at(metas, k);
      if ((meta & kId) == 0 || (meta & kMark) != 0) return false;
      slots_[i].key = key_of(keys, k++);
      slots_[i].meta = meta;
    }
    for (std::size_t i = 0; i < n; ++i) {
      if (!occupied(i)) continue;
      const P p = prefix(i);
      if (!p.canonical() || find(p) != i || !f(p, id(i))) return false;
      note(p);
      ++lengths_[p.length];
    }
    return true;
  }

 private:
  static constexpr std::size_t kSmallest = 64;
  static constexpr std::uint32_t kId = (1u << 23) - 1;
  static constexpr std::uint32_t kMark = 1u << 23;
  static constexpr int kLengthShift = 24;

  // IPv6 keys are packed as words, the least first, which need no padding.
  using Key = std::conditional_t<P::kWidth == 32, std::uint32_t, std::array<std::uint32_t, 4>>;
  struct Slot {
    Key key;
    std::uint32_t meta = 0;  // 0: empty
  };
  using Slots = std::vector<Slot, PageAllocator<Slot>>;

  static Key pack(Address a) {
    if constexpr (P::kWidth == 32) {
      return a;
    } else {
      return {static_cast<std::uint32_t>(a), static_cast<std::uint32_t>(a >> 32),
              static_cast<std::uint32_t>(a >> 64), static_cast<std::uint32_t>(a >> 96)};
    }
  }
  static Address unpack(const Key& k) {
    if constexpr (P::kWidth == 32) {
      return k;
    } else {
      return static_cast<Address>(std::uint64_t{k[3]} << 32 | k[2]) << 64 |
             (std::uint64_t{k[1]} << 32 | k[0]);
    }
  }

  // In a copy the more significant half of an IPv6 key comes first.
  static constexpr std::size_t kKeyWords = P::kWidth / 32;
  static std::uint32_t key_word(const Key& k, std::size_t i) {
    if constexpr (P::kWidth == 32) {
      return k;
    } else {
      return k[i ^ 2];
    }
  }
  static Key key_of(std::string_view words, std::size_t k) {
    if constexpr (P::kWidth == 32) {
      return word_at(words, k);
    } else {
      Key key;
      for (std::size_t i = 0; i < kKeyWords; ++i) key[i ^ 2] = word_at(words, k * kKeyWords + i);
      return key;
    }
  }

  [[nodiscard]] std::size_t mask() const { return slots_.size() - 1; }

  [[nodiscard]] std::size_t home(const P& p) const {
    std::uint64_t h;
    if constexpr (P::kWidth == 32) {
      h = (std::uint64_t{p.address} << 8 | p.length) ^ seed_;
    } else {
      // The seed comes before the halves meet: who does not know it cannot make them cancel.
      h = (static_cast<std::uint64_t>(p.address >> 64) ^ p.length ^ seed_) * 0xff51afd7ed558ccdULL;
      h ^= h >> 32;
      h = (h ^ static_cast<std::uint64_t>(p.address)) + seed_;
    }
    h *= 0x9e3779b97f4a7c15ULL;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93ULL;
    return static_cast<std::size_t>(h >> shift_);
  }

  // Which lengths the prefixes of a block of addresses have: those from kFine on in blocks
  // of kFine bits, those from kCoarse on in blocks of kCoarse. A bit stays when its last prefix
  // goes, until the table grows; blocks of IPv6 may share one. Small tables have none.
  using Lengths = std::conditional_t<P::kWidth == 32, std::uint32_t, std::uint64_t>;
  static constexpr int kFine = P::kWidth == 32 ? 16 : 32;
  static constexpr int kCoarse = P::kWidth == 32 ? 8 : 20;
  static constexpr int kFineBits = P::kWidth == 32 ? 16 : 15;  // of the number of blocks
  static constexpr int kCoarseBits = P::kWidth == 32 ? 8 : 12;
  static constexpr std::size_t kFineBlocks = std::size_t{1} << kFineBits;
  static constexpr std::size_t kWithBlocks = std::size_t{1} << 16;  // slots

  // Of one address.
  struct Near {
    Lengths fine = ~Lengths{0}, coarse = ~Lengths{0};

    [[nodiscard]] bool has(int length) const {
      if (length < kCoarse) return true;
      return ((length < kFine ? coarse : fine) >> bit(length) & 1u) != 0;
    }
  };
  // The longest lengths share the last bit.
  static constexpr int bit(int length) {
    return length < kFine ? length - kCoarse
                          : std::min(length - kFine, static_cast<int>(sizeof(Lengths)) * 8 - 1);
  }
  static std::size_t block_of(Address a, int bits, int of) {
    const auto first = static_cast<std::uint32_t>(a >> (P::kWidth - bits));
    if constexpr (P::kWidth == 32) return first;
    return first * 0x9e3779b1u >> (32 - of);
  }
  static std::size_t fine(Address a) { return block_of(a, kFine, kFineBits); }
  static std::size_t coarse(Address a) { return kFineBlocks + block_of(a, kCoarse, kCoarseBits); }

  [[nodiscard]] Near lengths_near(Address a) const {
    return blocks_.empty() ? Near{} : Near{blocks_[fine(a)], blocks_[coarse(a)]};
  }
  void note(const P& p) {
    if (blocks_.empty() || p.length < kCoarse) return;
    blocks_[p.length < kFine ? coarse(p.address) : fine(p.address)] |= Lengths{1} << bit(p.length);
  }

  void place(const P& p, std::uint32_t meta) {
    std::size_t i = home(p);
    while (slots_[i].meta != 0) i = (i + 1) & mask();
    slots_[i].key = pack(p.address);
    slots_[i].meta = meta;
  }

  void resize(std::size_t n) {
    Slots old(n);
    old.swap(slots_);
    shift_ = 64 - std::countr_zero(n);
    if (n >= kWithBlocks) blocks_.assign(kFineBlocks + (std::size_t{1} << kCoarseBits), 0);
    for (const Slot& s : old) {
      if (s.meta == 0) continue;
      const P p{unpack(s.key), static_cast<std::uint8_t>(s.meta >> kLengthShift)};
      place(p, s.meta);
      note(p);
    }
  }

  Slots slots_;
  std::vector<Lengths> blocks_;
  std::array<std::size_t, P::kWidth + 1> lengths_{};
  std::size_t size_ = 0;
  int shift_ = 0;
  // Drawn once a process: prefixes come from outside and could be chosen to collide.
  static std::uint64_t process_seed() {
    static const std::uint64_t seed = [] {
      std::random_device random;
      return std::uint64_t{random()} << 32 | random();
    }();
    return seed;
  }
  std::uint64_t seed_ = process_seed();
};

}  // namespace dvr
