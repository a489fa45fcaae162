// RouteTable: per prefix what is wanted and what the kernel has.
//
// Open addressing with linear probing, 16 bytes a slot for IPv4 and 32 for IPv6,
// at most 4/5 full; removal shifts back. Entries move when one is inserted or
// erased: pointers hold until then. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lib/prefix.h"

namespace dvr::kernel {

// What the kernel has for a prefix, beside the local ids of classes.
inline constexpr std::uint32_t kAbsent = 0;
inline constexpr std::uint32_t kUnreachable =
    0xfffffffb;  // such a route of ours, of no known class
inline constexpr std::uint32_t kProhibit = 0xfffffffc;
inline constexpr std::uint32_t kLeaving = 0xfffffffd;   // a route to a group that is about to go
inline constexpr std::uint32_t kOrphaned = 0xfffffffe;  // a route of ours to a group of no class
inline constexpr std::uint32_t kOther = 0xffffffff;  // a route in our place that must be replaced

template <class P>
class RouteTable {
 public:
  struct Entry {
    typename P::Address address = 0;
    std::uint32_t wanted = 0;  // local id of the class; 0: none, it is to leave
    std::uint32_t have = kAbsent;
    std::uint8_t reason = 0;  // why it could not be installed; 0: it was not refused
    std::uint8_t batch = 0;   // of operations that changed it last
    std::uint8_t mark = 0;    // of the audit that saw or changed it last
    std::uint8_t length = kEmpty;

    [[nodiscard]] P prefix() const { return {address, length}; }
  };

  RouteTable() : slots_(kSmallest) {}

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t bytes() const { return slots_.size() * sizeof(Entry); }

  // Null: not there.
  [[nodiscard]] Entry* find(const P& p) {
    for (std::size_t i = home(p);; i = (i + 1) & mask()) {
      Entry& e = slots_[i];
      if (e.length == kEmpty) return nullptr;
      if (e.address == p.address && e.length == p.length) return &e;
    }
  }

  // Finds or makes it.
  Entry& at(const P& p) {
    if (Entry* const e = find(p)) return *e;
    if ((size_ + 1) * 5 > slots_.size() * 4) grow();
    std::size_t i = home(p);
    while (slots_[i].length != kEmpty) i = (i + 1) & mask();
    slots_[i] = {};
    slots_[i].address = p.address;
    slots_[i].length = p.length;
    ++size_;
    return slots_[i];
  }

  void erase(Entry* e) {
    auto hole = static_cast<std::size_t>(e - slots_.data());
    --size_;
    for (std::size_t i = (hole + 1) & mask(); slots_[i].length != kEmpty; i = (i + 1) & mask()) {
      // It may move into the hole unless its home lies behind the hole.
      if (((i - home(slots_[i].prefix())) & mask()) < ((i - hole) & mask())) continue;
      slots_[hole] = slots_[i];
      hole = i;
    }
    slots_[hole] = {};
  }

  // f(Entry&) for each; f must not insert or erase.
  template <class F>
  void for_each(F f) {
    for (Entry& e : slots_) {
      if (e.length != kEmpty) f(e);
    }
  }

 private:
  static constexpr std::uint8_t kEmpty = 255;
  static constexpr std::size_t kSmallest = 64;

  [[nodiscard]] std::size_t mask() const { return slots_.size() - 1; }
  [[nodiscard]] std::size_t home(const P& p) const {
    std::uint64_t x = static_cast<std::uint64_t>(p.address) + p.length * 0x9e3779b97f4a7c15ull;
    if constexpr (P::kWidth == 128) {
      x ^= static_cast<std::uint64_t>(p.address >> 64) * 0xd6e8feb86659fd93ull;
    }
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93ull;
    return static_cast<std::size_t>(x >> 32) & mask();
  }
  void grow() {
    std::vector<Entry> old(slots_.size() * 2);
    old.swap(slots_);
    for (const Entry& e : old) {
      if (e.length == kEmpty) continue;
      std::size_t i = home(e.prefix());
      while (slots_[i].length != kEmpty) i = (i + 1) & mask();
      slots_[i] = e;
    }
  }

  std::vector<Entry> slots_;
  std::size_t size_ = 0;
};

}  // namespace dvr::kernel
