#include "sinks/kernel/mirror.h"

#include <algorithm>
#include <cerrno>

namespace dvr::kernel {
namespace {

// Operations that are sent at once: some 100 KiB, a millisecond or two of the kernel's time.
constexpr std::size_t kBatch = 1024;
constexpr std::size_t kMostListed = 100;
// Beyond these the failed buckets are all of them.
constexpr std::size_t kMostHashed = 65536;
constexpr std::uint32_t kNoClass = 0;

}  // namespace

RouteType Mirror::type_of(const std::vector<NextHop>& hops) {
  if (hops.empty()) return RouteType::kGroup;
  switch (hops[0].type) {
    case NextHop::Type::kUnreachable:
      return RouteType::kUnreachable;
    case NextHop::Type::kProhibit:
      return RouteType::kProhibit;
    default:
      return RouteType::kGroup;
  }
}

Mirror::Mirror(const Place& place, bool wide_weights, Port& port)
    : place_(place),
      wide_weights_(wide_weights),
      port_(port),
      ids_(place.table),
      members_(port, ids_),
      classes_(1),
      reasons_([this](Reasons::Set* held) {
        for (const Class& c : classes_) {
          for (const Half& h : c.half) held->set(h.reason);
        }
        each_entry([held](const auto& e) { held->set(e.reason); });
      }) {}

std::uint8_t Mirror::reason_of(const std::string& words) { return reasons_.of(words); }

// Keeps every count and sum right.
template <class E>
void Mirror::set_have(E& e, std::uint32_t have) {
  const auto p = e.prefix();
  const std::size_t family = family_of<decltype(p)>();
  e.mark = mark_;
  if (e.have == have) return;
  failures_stale_ |= e.reason != 0;
  if (e.wanted == e.have && counts(e.wanted)) {
    --right_;
    --classes_[e.wanted].half[family].right;
    failures_stale_ = true;
  }
  if (is_class(e.have)) {
    Class& c = classes_[e.have];
    const Digest item = prefix_item(p, c.id);
    --entries_;
    --c.half[family].installed;
    c.half[family].sum -= item;
    installed_ -= c.installed() == 0 ? item + c.item : item;
  }
  if (family == 0) installed4_ += (have != kAbsent ? 1 : 0) - (e.have != kAbsent ? 1 : 0);
  e.have = have;
  if (is_class(have)) {
    Class& c = classes_[have];
    const Digest item = prefix_item(p, c.id);
    installed_ += c.installed() == 0 ? item + c.item : item;
    ++entries_;
    ++c.half[family].installed;
    c.half[family].sum += item;
  }
  if (e.wanted == e.have && counts(e.wanted)) {
    ++right_;
    Half& half = classes_[e.wanted].half[family];
    ++half.right;
    failures_stale_ |= e.reason != 0 || half.stale || half.listed;
    e.reason = 0;
  }
}

template <class E>
void Mirror::set_wanted(E& e, std::uint32_t wanted) {
  const std::size_t family = family_of<decltype(e.prefix())>();
  if (counts(e.wanted)) {
    Half& half = classes_[e.wanted].half[family];
    --half.wanted;
    --wanted_;
    if (e.wanted == e.have) {
      --half.right;
      --right_;
      failures_stale_ |= half.stale;
    } else {
      failures_stale_ = true;
    }
  }
  e.wanted = wanted;
  failures_stale_ |= e.reason != 0;
  e.reason = 0;
  if (!counts(wanted)) return;
  Half& half = classes_[wanted].half[family];
  ++half.wanted;
  ++wanted_;
  if (e.wanted == e.have) {
    ++half.right;
    ++right_;
    failures_stale_ |= half.stale;
  } else if (!half.available()) {
    failures_stale_ = true;
  }
}

void Mirror::want(const Prefix& prefix, std::uint32_t id) {
  typed(prefix, [&](const auto& p) { want(p, id); });
}

void Mirror::unwant(const Prefix& prefix) {
  typed(prefix, [&](const auto& p) { unwant(p); });
}

template <class P>
void Mirror::want(const P& p, std::uint32_t id) {
  constexpr std::size_t kFamily = family_of<P>();
  at(id);
  auto& e = table<P>().at(p);
  if (e.wanted == id && (e.have == id || e.reason != 0)) return;
  if (e.wanted != id) set_wanted(e, id);
  if (e.have == id) return;
  if (loading_ && e.have != kAbsent) {
    if (!untouchable(e)) mark({id, kFamily});
    return;
  }
  const Half& half = classes_[id].half[kFamily];
  // The route needs the group, and as it shall be.
  if (half.dirty || (!half.available() && half.reason == 0)) {
    const Slot slot{id, kFamily};
    mark(slot);
    if (settle_groups(&slot)) await_unfit();
    install(p, table<P>().find(p));  // entries may have moved
    return;
  }
  install(p, &e);
}

// Makes the kernel have what is wanted, where that can be.
template <class P>
void Mirror::install(const P& p, typename RouteTable<P>::Entry* e) {
  const Half& half = classes_[e->wanted].half[family_of<P>()];
  if (!half.available()) return;
  // The class is about to change its type, which brings all its routes anew.
  if (half.type != type_of(classes_[e->wanted].hops)) return;
  e = ready(p, e);
  if (e->have == e->wanted) return;
  if (is_route_of(half.type, e->have)) return set_have(*e, e->wanted);
  RouteOperation op = route_of(p, e->wanted);
  if (e->have != kAbsent) op.kind = RouteOperation::Kind::kReplace;
  const Sent sent{e->have, e->wanted};
  // Taken for done; what is refused is taken back.
  set_have(*e, e->wanted);
  push(op, sent);
}

// Adds a route to the class as it is.
template <class P>
RouteOperation Mirror::route_of(const P& p, std::uint32_t id) const {
  const Half& half = classes_[id].half[family_of<P>()];
  RouteOperation op;
  op.kind = RouteOperation::Kind::kAdd;
  op.type = half.type;
  op.group = half.group;
  op.prefix = Prefix::of(p);
  return op;
}

template <class P>
void Mirror::unwant(const P& p) {
  auto* const e = table<P>().find(p);
  if (e == nullptr || e->wanted == kNoClass) return;
  set_wanted(*e, kNoClass);
  if (e->have == kAbsent) {
    table<P>().erase(e);
    return;
  }
  leaving<P>().push_back(p);
}

template <class P>
typename RouteTable<P>::Entry* Mirror::ready(const P& p, typename RouteTable<P>::Entry* e) {
  if (e->batch == batch_) {
    flush();
    e = table<P>().find(p);
  }
  if (e != nullptr) e->batch = batch_;
  return e;
}

void Mirror::push(const RouteOperation& op, const Sent& sent) {
  ops_.push_back(op);
  sent_.push_back(sent);
  if (ops_.size() >= kBatch) flush();
}

void Mirror::flush() {
  if (ops_.empty()) return;
  batch_ = static_cast<std::uint8_t>(batch_ % 255 + 1);
  refused_.clear();
  port_.routes(ops_, &refused_);
  for (const RouteFailure& r : refused_) {
    const RouteOperation& op = ops_[r.index];
    typed(op.prefix, [&](const auto& p) { take_back(p, op, sent_[r.index], r.outcome); });
  }
  settle_probes();
  for (const RouteOperation& op : ops_) {
    if (op.kind != RouteOperation::Kind::kDelete || op.metric != 0) continue;
    typed(op.prefix, [&](const auto& p) {
      auto& t = table<std::decay_t<decltype(p)>>();
      auto* const e = t.find(p);
      if (e != nullptr && e->wanted == kNoClass && e->have == kAbsent) t.erase(e);
    });
  }
  ops_.clear();
  sent_.clear();
}

// Routes that could be added had been lost.
void Mirror::settle_probes() {
  std::set<std::size_t> refused;
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    if (!sent_[i].probe) continue;
    if (refused.empty()) {
      for (const RouteFailure& r : refused_) refused.insert(r.index);
      refused.insert(ops_.size());
    }
    if (!refused.contains(i)) note(ops_[i].prefix, "lost unseen, found by an audit");
  }
}

template <class P>
void Mirror::take_back(const P& p, const RouteOperation& op, const Sent& sent,
                       const Outcome& outcome) {
  if (op.metric != 0) return;  // a stray, seen again by the next audit
  if (op.kind == RouteOperation::Kind::kDelete &&
      (outcome.error == ESRCH || outcome.error == ENOENT)) {
    return;  // gone already
  }
  auto* const e = table<P>().find(p);
  if (e == nullptr || e->have != sent.after) return;  // changed since
  if (sent.probe) {
    if (outcome.error != EEXIST) {
      doubts_routes_ = true;
      return;
    }
    // Something is there. What two audits in a row did not see is not ours.
    if constexpr (P::kWidth == 128) {
      if (!std::binary_search(unproved_before_.begin(), unproved_before_.end(), p)) {
        unproved_.push_back(p);
        doubts_routes_ = true;
        return;
      }
    }
  }
  const bool unknown = is_class(sent.before) && !classes_[sent.before].known;
  set_have(*e, sent.probe ? kAbsent : unknown ? kOther : sent.before);
  failures_stale_ = true;
  if (op.kind == RouteOperation::Kind::kDelete) {
    blame(*e, outcome);
  } else if (e->wanted == sent.after && outcome.error == EEXIST) {
    // Ours after all, or another program's, which stays: an audit tells.
    e->reason = reason_of("another route with this prefix and metric stands in its place");
    doubts_routes_ = true;
  } else if (e->wanted == sent.after) {
    e->reason = reason_of(outcome.words);
    doubts_nexthops_ |= outcome.error == EINVAL || outcome.error == ENOENT;
  }
}

void Mirror::release(std::uint32_t id) {
  if (id >= classes_.size() || !classes_[id].known) return;
  if (classes_[id].installed() > 0) settle(true);
  Class& c = classes_[id];
  std::set<Slot> held;
  for (std::size_t family = 0; family < kFamilies; ++family) {
    if (c.half[family].group != 0 || c.half[family].installed > 0) held.insert({id, family});
  }
  if (c.half[0].plain() || c.half[1].plain()) {
    // Routes that failed to change.
    each_entry([&](auto& e) {
      if (e.have == id) set_have(e, kOther);
    });
  }
  if (!held.empty()) remove_whole(held);
  for (std::size_t family = 0; family < kFamilies; ++family) {
    const Slot slot{id, family};
    withdrawn_.erase(slot);
    came_.erase(slot);
    set_stale(slot, false);
    if (c.half[family].partial) --partial_;
  }
  c = {};
}

void Mirror::settle(bool end) {
  if (settle_groups()) await_unfit();
  flush();
  if (!end) return;
  install_owed();
  remove_leaving();
  members_.collect();
}

void Mirror::install_owed() {
  const std::set<Slot> came = std::exchange(came_, {});
  if (came.empty()) return;
  std::vector<Prefix> owed;
  each_entry([&](const auto& e) {
    if (!counts(e.wanted) || e.wanted == e.have || e.reason != 0 || untouchable(e)) return;
    if (came.contains({e.wanted, family_of<std::decay_t<decltype(e.prefix())>>()}))
      owed.push_back(Prefix::of(e.prefix()));
  });
  std::sort(owed.begin(), owed.end(), [](const Prefix& a, const Prefix& b) {
    return a.length != b.length ? a.length < b.length : a.address.bits < b.address.bits;
  });
  for (const Prefix& prefix : owed) {
    typed(prefix, [&](const auto& p) {
      auto* const e = table<std::decay_t<decltype(p)>>().find(p);
      if (e != nullptr && counts(e->wanted)) install(p, e);
    });
  }
  flush();
}

void Mirror::complete() {
  if (!adopting_) return;
  adopting_ = false;
  for (std::uint32_t id = 1; id < classes_.size(); ++id) {
    for (std::size_t family = 0; family < kFamilies; ++family) {
      const Half& half = classes_[id].half[family];
      if (half.wanted > 0 && !half.available()) mark({id, family});
    }
  }
  settle_groups();
  // What is wrong is replaced before what is left over goes.
  await_unfit();
  while (work(kBatch)) {
  }
  remove_orphans("");
  const auto leave = [this](const auto& e) {
    if (e.wanted == kNoClass && e.have != kAbsent)
      leaving<std::decay_t<decltype(e.prefix())>>().push_back(e.prefix());
  };
  each_entry(leave);
  remove_leaving();
  for (RouteOperation& stray : strays_) push(stray, {});
  strays_.clear();
  flush();
  // Groups that were adopted for prefixes that are not there any more.
  for (std::uint32_t id = 1; id < classes_.size(); ++id) {
    for (std::size_t family = 0; family < kFamilies; ++family) {
      const Half& half = classes_[id].half[family];
      if (half.group != 0 && half.wanted == 0) mark({id, family});
    }
  }
  settle_groups();
  members_.collect();
}

template <class E>
void Mirror::await(const E& e) {
  waiting_by_length_[e.length].push_back(Prefix::of(e.prefix()));
  ++waiting_;
}

// Lines up every prefix that does not have what it should and could have.
void Mirror::await_unfit() {
  for (std::deque<Prefix>& line : waiting_by_length_) line.clear();
  waiting_ = 0;
  const auto look = [this](const auto& e) {
    if (!counts(e.wanted) || e.wanted == e.have || e.reason != 0) return;
    if (untouchable(e)) return;
    const std::size_t family = family_of<std::decay_t<decltype(e.prefix())>>();
    if (classes_[e.wanted].half[family].available()) await(e);
  };
  each_entry(look);
  for (std::deque<Prefix>& line : waiting_by_length_) {
    std::sort(line.begin(), line.end(),
              [](const Prefix& a, const Prefix& b) { return a.address.bits < b.address.bits; });
  }
}

bool Mirror::work(std::size_t routes) {
  std::size_t length = 0;
  while (routes > 0 && waiting_ > 0) {
    std::deque<Prefix>& line = waiting_by_length_[length];
    if (line.empty()) {
      ++length;
      continue;
    }
    const Prefix next = line.front();
    line.pop_front();
    --waiting_;
    --routes;
    typed(next, [&](const auto& p) {
      auto* const e = table<std::decay_t<decltype(p)>>().find(p);
      if (e == nullptr || !counts(e->wanted) || e->wanted == e->have || e->reason != 0) return;
      if (untouchable(*e)) return;
      install(p, e);
    });
  }
  if (routes > 0) probe(routes);
  flush();
  if (working()) return true;
  for (auto& [cause, restoration] : causes_) {
    repaired_ += restoration.count;
    restored_.push_back(std::move(restoration));
  }
  causes_.clear();
  return false;
}

void Mirror::probe(std::size_t most) {
  for (; most > 0 && !suspects_.empty(); --most) {
    const Prefix6 p = suspects_.back();
    suspects_.pop_back();
    auto* e = table6_.find(p);
    if (e == nullptr || e->mark == mark_ || !counts(e->wanted) || e->wanted != e->have ||
        !classes_[e->wanted].half[1].available()) {
      continue;  // changed since
    }
    e = ready(p, e);
    if (e->wanted != e->have) continue;
    push(route_of(p, e->wanted), {e->have, e->have, true});
  }
}

void Mirror::locate() {
  for (std::uint32_t id = 1; id < classes_.size(); ++id) {
    if (!classes_[id].known || !classes_[id].floating) continue;
    for (std::size_t family = 0; family < kFamilies; ++family) {
      if (classes_[id].half[family].group != 0) mark({id, family});
    }
  }
  if (settle_groups()) await_unfit();
  members_.collect();
}

void Mirror::retry() {
  if (!failing()) return;
  for (std::uint32_t id = 1; id < classes_.size(); ++id) {
    for (std::size_t family = 0; family < kFamilies; ++family) {
      Half& half = classes_[id].half[family];
      const bool lacks = half.wanted > 0 && !half.available();
      if (half.reason == 0 && !half.partial && !lacks) continue;
      half.reason = 0;
      mark({id, family});
    }
  }
  std::vector<Prefix> stuck;
  each_entry([&](auto& e) {
    if (std::exchange(e.reason, std::uint8_t{0}) != 0 && !counts(e.wanted) && e.have != kAbsent)
      stuck.push_back(Prefix::of(e.prefix()));
  });
  reasons_.again();
  stuck_ = false;
  settle_groups();
  await_unfit();
  // Routes that are to change do so before their old group goes.
  if (!adopting_ && !working()) remove_orphans("");
  for (const Prefix& p : stuck) remove_single(p);
  flush();
  if (!adopting_) members_.collect();
  failures_stale_ = true;
}

SinkReport Mirror::report() {
  SinkReport r;
  r.installed = installed_;
  r.entries = entries_;
  r.failed = wanted_ - right_;
  for (const Slot slot : stale_) r.failed += half(slot).right;
  r.repaired = repaired_;
  r.deviates = deviates();
  if (failures_stale_) {
    failures_stale_ = false;
    failures_.clear();
    failed_buckets_ = {};
    stuck_count_ = 0;
    for (Class& c : classes_) c.half[0].listed = c.half[1].listed = false;
    const auto look = [&](const auto& e) {
      const auto p = e.prefix();
      std::uint8_t reason = e.reason;
      if (counts(e.wanted)) {
        Half& half = classes_[e.wanted].half[family_of<decltype(p)>()];
        if (e.wanted == e.have && !half.stale) return;
        half.listed |= reason == 0;
        if (reason == 0) reason = half.reason;
      } else if (reason != 0 && e.have != kAbsent) {
        ++stuck_count_;
      } else {
        return;
      }
      if (r.failed <= kMostHashed) set_bucket(failed_buckets_, bucket_of(p));
      if (failures_.size() < kMostListed)
        failures_.push_back({to_string(p), reasons_.words(reason)});
    };
    if (r.failed > 0 || stuck_) each_entry(look);
    stuck_ = stuck_count_ > 0;
    if (r.failed + stuck_count_ > kMostHashed) failed_buckets_.fill(0xff);
  }
  r.failed += stuck_count_;
  r.failures = failures_;
  r.failed_buckets = failed_buckets_;
  return r;
}

template void Mirror::set_have(RouteTable<Prefix4>::Entry& e, std::uint32_t have);
template void Mirror::set_have(RouteTable<Prefix6>::Entry& e, std::uint32_t have);
template RouteTable<Prefix4>::Entry* Mirror::ready(const Prefix4& p, RouteTable<Prefix4>::Entry* e);
template RouteTable<Prefix6>::Entry* Mirror::ready(const Prefix6& p, RouteTable<Prefix6>::Entry* e);
template void Mirror::await(const RouteTable<Prefix4>::Entry& e);
template void Mirror::await(const RouteTable<Prefix6>::Entry& e);

}  // namespace dvr::kernel
