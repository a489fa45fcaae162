// The longest-prefix-match engine of a family.
//
// Two layers. The trie (trie.h) is the truth: every place knows the id and the
// length that cover it, so an update is local and needs no list of prefixes. The
// flat table (flat.h) is rendered from it, the touched places at an update, in the
// form that is fastest to read: ids without lengths, in nodes as small as
// they can be. Forwarding asks the flat table; who wants the matched length asks the
// trie.
//
// Threads. set and erase: one writer. All lookups: any threads beside it, each
// inside an Epoch::Guard of the epoch that the engine was made with, one for as many lookups
// as one likes. A reader sees the answer of each address before or after
// an update, never between; the two layers change one after the other.
//
// The owner knows the table: erase is told which prefix covers the erased one (the longest
// match of it in the table without it; an empty Hit: none).
#pragma once

#include <atomic>
#include <span>
#include <string>

#include "lib/epoch.h"
#include "lib/flat.h"
#include "lib/flat_lookup.h"
#include "lib/hit.h"
#include "lib/trie.h"

namespace dvr {

template <class P>
class Engine {
 public:
  using PrefixType = P;
  using Address = typename P::Address;

  // `limit` bounds the trie's memory and the flat table's, each. `epoch` must outlive the
  // engine. Throws std::bad_alloc.
  Engine(Epoch* epoch, std::size_t limit) : trie_(epoch, limit), flat_(&trie_, epoch, limit) {}

  // False: memory limit reached, unchanged. Cost: that of what p covers and is not covered
  // by a longer prefix; a default route's is 4,096 stores.
  bool set(const P& p, std::uint32_t id) {
    if (!set_later(p, id)) return false;
    flush();
    return true;
  }
  bool erase(const P& p, Hit cover) {
    if (!erase_later(p, cover)) return false;
    flush();
    return true;
  }

  // The same for many at once, which is cheaper; find has them no later than flush.
  bool set_later(const P& p, std::uint32_t id) {
    if (!trie_.set(p, id)) return false;
    note_rest(p, {p.length == 0 ? id : 0, 0});
    flat_.changed(p);
    return true;
  }
  bool erase_later(const P& p, Hit cover) {
    if (!trie_.erase(p, cover)) return false;
    note_rest(p, cover);
    flat_.changed(p);
    return true;
  }
  void flush() { flat_.flush(); }

  // Says that p will be set or erased soon: its cache misses begin.
  void expect(const P& p) const {
    trie_.expect(p);
    flat_.expect(p);
  }
  // The same a step later, when what expect asked for has come.
  void expect_node(const P& p) const {
    trie_.expect_node(p);
    flat_.expect_node(p);
  }

  // The id of the longest match, 0: none.
  [[nodiscard]] std::uint32_t find(Address a) const {
    const Rest before = rest();
    const std::uint32_t id = flat::leaf_of(flat_.view(), a);
    const Rest after = rest();
    if (id == flat::kEscape || before.shorts || after.shorts) return late(id, a);
    return id != 0 ? id : before.id != 0 ? before.id : after.id;
  }

  // One id an address; ids.size() >= addresses.size(). Fastest for 128 and more at once.
  void find(std::span<const Address> addresses, std::span<std::uint32_t> ids) const {
    find(flat::best_path(), addresses, ids);
  }
  void find(flat::Path path, std::span<const Address> addresses,
            std::span<std::uint32_t> ids) const {
    const Rest before = rest();
    bool escapes;
    if constexpr (P::kWidth == 32) {
      escapes = flat::lookup4(path, flat_.view(), addresses.data(), ids.data(), addresses.size(),
                              before.fallback());
    } else {
      escapes = flat::lookup6(path, flat::Order::kHost, flat_.view(), addresses.data(), ids.data(),
                              addresses.size(), before.fallback());
    }
    finish(escapes, before, ids.first(addresses.size()),
           [addresses](std::size_t i) { return addresses[i]; });
  }
  // The same for IPv6 addresses of 16 bytes each in network order, ids.size() of them.
  void find_network(flat::Path path, const void* addresses, std::span<std::uint32_t> ids) const
    requires(P::kWidth == 128)
  {
    const Rest before = rest();
    const bool escapes = flat::lookup6(path, flat::Order::kNetwork, flat_.view(), addresses,
                                       ids.data(), ids.size(), before.fallback());
    finish(escapes, before, ids, [addresses](std::size_t i) {
      return flat::address_at<flat::Order::kNetwork>(addresses, i);
    });
  }

  // Id and length, from the trie: a tenth of find's speed.
  [[nodiscard]] Hit lookup(Address a) const { return trie_.lookup(a); }

  // Memory of both layers, and what of it find can touch.
  [[nodiscard]] std::size_t bytes() const { return trie_.bytes() + flat_.bytes(); }
  [[nodiscard]] std::size_t live() const { return flat_.live(); }

  // Of what save writes; an engine of another layout is filled from the table.
  static constexpr std::uint32_t kLayout = Trie<P>::kLayout;

  // A copy, for a restart; see trie.h. The flat table is rendered anew.
  void save(std::string* out) const { trie_.save(out); }
  template <class F>
  [[nodiscard]] bool restore(ByteReader* in, F known) {
    if (!trie_.restore(in, known)) return false;
    std::uint32_t id = 0, shorts = 0;
    bool one = true;  // no table has two default routes
    trie_.shorts([&](Hit hit) {
      if (hit.length > 0) {
        shorts = FlatTable<P>::kShortApart ? kShorts : 0;
      } else {
        one = one && (id == 0 || id == hit.id);
        id = hit.id;
      }
    });
    if (!one) return false;
    flat_.render();
    rest_.store(id | shorts, std::memory_order_release);
    return true;
  }

 private:
  // What is for addresses whose leaf is 0: the default route's id, or, where there are
  // prefixes that the flat table leaves to the trie, the trie.
  struct Rest {
    std::uint32_t id;
    bool shorts;

    [[nodiscard]] std::uint32_t fallback() const { return shorts ? 0 : id; }
  };
  [[nodiscard]] Rest rest() const {
    const std::uint32_t v = rest_.load(std::memory_order_acquire);
    return {v & kMaxId, (v & kShorts) != 0};
  }
  // After a prefix below kShortBits has changed.
  void note_rest(const P& p, Hit now) {
    const bool news = now && now.length == 0 && now.id != rest().id;
    if (p.length >= Trie<P>::kShortBits && !news) return;
    // After a restart the default route is not known while longer prefixes hide it everywhere.
    const std::uint32_t id = p.length == 0 || news ? now.id : rest().id;
    std::uint32_t shorts = 0;
    if (FlatTable<P>::kShortApart) {
      trie_.shorts([&](Hit hit) { shorts = hit.length > 0 ? kShorts : shorts; });
    }
    rest_.store(id | shorts, std::memory_order_release);
  }

  // The answer where the leaf does not have it.
  [[nodiscard]] std::uint32_t late(std::uint32_t id, Address a) const {
    if (id != flat::kEscape && id != 0) return id;
    const Hit hit = id == 0 ? trie_.short_hit(a) : Hit{};
    return hit ? hit.id : trie_.lookup(a).id;
  }

  // A short prefix may come while a longer one goes, or go while one comes: read
  // before and after what is longer, one of the two readings has it.
  template <class At>
  void finish(bool escapes, Rest before, std::span<std::uint32_t> ids, At at) const {
    const Rest after = rest();
    if (escapes || before.shorts || after.shorts) {
      // Where `after` alone has them, what the default route answered may be theirs.
      const bool all = after.shorts && !before.shorts;
      for (std::size_t i = 0; i < ids.size(); ++i) {
        ids[i] = all ? trie_.lookup(at(i)).id : late(ids[i], at(i));
      }
    } else if (before.id == 0 && after.id != 0) {
      for (std::uint32_t& id : ids) id = id == 0 ? after.id : id;
    }
  }

  static constexpr std::uint32_t kShorts = 1u << 31;

  Trie<P> trie_;
  FlatTable<P> flat_;
  std::atomic<std::uint32_t> rest_{0};  // Rest in one word: shorts, id
};

using Engine4 = Engine<Prefix4>;
using Engine6 = Engine<Prefix6>;

}  // namespace dvr
