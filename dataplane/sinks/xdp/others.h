// The routes of others: which prefixes the kernel forwards by something that is not ours, and
// which of them are on a link.
//
// Threading: one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <tuple>
#include <utility>

#include "sinks/xdp/around.h"

namespace dvr::xdp {

class Others {
 public:
  // How the routes of a prefix stand to one of ours: weak ones lose to it.
  enum class Standing : std::uint8_t { kNone, kWeak, kStrong };
  using Change = std::function<void(const Prefix&, Standing)>;

  // The interface that a prefix is on now; 0: none.
  using Direct = std::function<void(const Prefix&, std::uint32_t interface)>;

  // Of ours: the table and the metric.
  Others(std::uint32_t table, std::uint32_t metric, Change change, Direct direct)
      : table_(table), metric_(metric), change_(std::move(change)), direct_(std::move(direct)) {}

  // False: of several routes this one took the place of one, and which is not known. They are all
  // kept, so only a look at everything tells.
  bool route(const RouteFact& r) {
    const Key key{r.prefix, r.table, r.metric, r.interface, r.gateway};
    if (r.removed) {
      if (const auto it = routes_.find(key); it != routes_.end()) remove(it);
      return true;
    }
    const auto [it, added] = routes_.try_emplace(key, Told{round_, r.direct});
    const bool was_direct = std::exchange(it->second, Told{round_, r.direct}).direct;
    if (added) count(key, 1);
    // What it took the place of goes after it came: the prefix is never without.
    const bool known = !r.replaces || replaced(it, added);
    if (r.direct || was_direct) find_direct(r.prefix);
    return known;
  }

  // A look at everything: between these, each route that is there is told.
  void begin() { ++round_; }
  void end() {
    for (auto it = routes_.begin(); it != routes_.end();) {
      it = it->second.round == round_ ? std::next(it) : remove(it);
    }
  }

 private:
  struct Key {
    Prefix prefix;
    std::uint32_t table, metric, interface;
    Address gateway;

    [[nodiscard]] auto tie() const {
      return std::make_tuple(prefix.address.family, prefix.address.bits, prefix.length, table,
                             metric, interface, gateway.family, gateway.bits);
    }
    friend bool operator<(const Key& a, const Key& b) { return a.tie() < b.tie(); }
  };
  struct Told {
    std::uint64_t round;  // that told of it last
    bool direct;
  };
  using Routes = std::map<Key, Told>;
  struct Less {
    bool operator()(const Prefix& a, const Prefix& b) const {
      return std::make_tuple(a.address.family, a.address.bits, a.length) <
             std::make_tuple(b.address.family, b.address.bits, b.length);
    }
  };

  struct Count {
    int strong = 0, weak = 0;

    [[nodiscard]] Standing standing() const {
      return strong > 0 ? Standing::kStrong : weak > 0 ? Standing::kWeak : Standing::kNone;
    }
  };
  Routes::iterator remove(Routes::iterator it) {
    const Key key = it->first;
    const bool direct = it->second.direct;
    it = routes_.erase(it);
    count(key, -1);
    if (direct) find_direct(key.prefix);
    return it;
  }
  // Takes out what `by` took the place of. False: it could be several.
  bool replaced(Routes::iterator by, bool added) {
    const Key& key = by->first;
    const auto alike = [&](Routes::iterator it) {
      return it != routes_.end() && it->first.prefix == key.prefix &&
             it->first.table == key.table && it->first.metric == key.metric;
    };
    auto first = routes_.lower_bound({key.prefix, key.table, key.metric, 0, {}});
    if (first == by) ++first;
    if (!alike(first)) return true;
    auto next = std::next(first);
    if (next == by) ++next;
    if (!added || alike(next)) return false;
    remove(first);
    return true;
  }
  // As the kernel looks for the link of a next hop: in our table first, then in the order of its
  // rules, local, main, default; then by metric.
  void find_direct(const Prefix& prefix) {
    const auto rank = [this](const Key& k) {
      return std::make_tuple(k.table != table_, ~k.table, k.metric);
    };
    const Key* best = nullptr;
    for (auto it = routes_.lower_bound({prefix, 0, 0, 0, {}});
         it != routes_.end() && it->first.prefix == prefix; ++it) {
      if (it->second.direct && (best == nullptr || rank(it->first) < rank(*best))) {
        best = &it->first;
      }
    }
    direct_(prefix, best == nullptr ? 0 : best->interface);
  }
  void count(const Key& key, int by) {
    Count& c = prefixes_[key.prefix];
    const Standing before = c.standing();
    // In our own table a higher metric loses to ours. Which of two tables wins is the
    // kernel's to say.
    (key.table == table_ && key.metric > metric_ ? c.weak : c.strong) += by;
    const Standing now = c.standing();
    if (now == Standing::kNone) prefixes_.erase(key.prefix);
    if (now != before) change_(key.prefix, now);
  }

  std::uint32_t table_, metric_;
  Change change_;
  Direct direct_;
  std::uint64_t round_ = 0;
  Routes routes_;
  std::map<Prefix, Count, Less> prefixes_;
};

}  // namespace dvr::xdp
