// The routes of others: which prefixes the kernel forwards by something that is not ours.
//
// Threading: one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
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

  // Of ours: the table and the metric.
  Others(std::uint32_t table, std::uint32_t metric, Change change)
      : table_(table), metric_(metric), change_(std::move(change)) {}

  void route(const RouteFact& r) {
    const Key key{r.prefix, r.table, r.metric, r.interface, r.gateway};
    if (r.removed) {
      if (routes_.erase(key) > 0) count(key, -1);
      return;
    }
    const auto [it, added] = routes_.try_emplace(key, round_);
    it->second = round_;
    if (added) count(key, 1);
  }

  // A look at everything: between these, each route that is there is told.
  void begin() { ++round_; }
  void end() {
    for (auto it = routes_.begin(); it != routes_.end();) {
      if (it->second == round_) {
        ++it;
        continue;
      }
      const Key key = it->first;
      it = routes_.erase(it);
      count(key, -1);
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
  std::uint64_t round_ = 0;
  std::map<Key, std::uint64_t> routes_;  // with the round that told of it last
  std::map<Prefix, Count, Less> prefixes_;
};

}  // namespace dvr::xdp
