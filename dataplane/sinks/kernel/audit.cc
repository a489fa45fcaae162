// Mirror: news of the kernel, and comparing with it.
#include <algorithm>

#include "sinks/kernel/mirror.h"

namespace dvr::kernel {
namespace {

constexpr std::uint32_t kNoClass = 0;
// Causes that findings tell apart.
constexpr std::size_t kMostCauses = 64;

}  // namespace

bool Mirror::set_link(const LinkFact& link) {
  const auto same = links_.find(link.name);
  if (same != links_.end() && same->second == link) return false;
  std::erase_if(links_, [&](const auto& known) {
    return known.second.index == link.index && (link.gone || known.first != link.name);
  });
  if (!link.gone) links_[link.name] = link;
  return true;
}

void Mirror::note(const Prefix& p, const std::string& cause, std::uint64_t count) {
  Restoration& r = causes_.try_emplace(cause, Restoration{p, cause, 0}).first->second;
  if (r.count == 0 || p.length < r.prefix.length) r.prefix = p;
  r.count += count;
  found(p, cause, count);
}

void Mirror::found(const Prefix& p, const std::string& cause, std::uint64_t count) {
  auto& all = findings_.differences;
  auto at = std::find_if(all.begin(), all.end(), [&](const auto& d) { return d.cause == cause; });
  if (at == all.end()) {
    if (all.size() == kMostCauses) {
      at = all.end() - 1;
      at->cause = "other causes";
    } else {
      at = all.insert(at, Restoration{p, cause, 0});
    }
  }
  if (at->count == 0 || p.length < at->prefix.length) at->prefix = p;
  at->count += count;
}

// Those that cannot come back for now, since no next hop can be used, are failures and not repairs.
void Mirror::note_lost(const Losses& losses, const std::string& cause) {
  for (std::size_t family = 0; family < kFamilies; ++family) {
    for (std::uint32_t id = 1; id < losses[family].size(); ++id) {
      const Loss& loss = losses[family][id];
      if (loss.count > 0 && classes_[id].half[family].available())
        note(loss.shortest, cause, loss.count);
    }
  }
}

// `altered`: groups as the kernel had them, not as they had been made. Those that have another
// content by now were set right, and with them their routes.
void Mirror::note_altered(const std::map<Slot, Groups>& altered, const std::string& cause) {
  std::set<Slot> right;
  for (const auto& [slot, content] : altered) {
    const Half& h = half(slot);
    if (h.group != 0 && h.installed > 0 && h.content != content) right.insert(slot);
  }
  if (right.empty()) return;
  Restoration all;
  each_entry([&](const auto& e) {
    const std::size_t family = family_of<std::decay_t<decltype(e.prefix())>>();
    if (!is_class(e.have) || !right.contains({e.have, family})) return;
    if (all.count++ == 0 || e.length < all.prefix.length) all.prefix = Prefix::of(e.prefix());
  });
  note(all.prefix, cause, all.count);
}

bool Mirror::adopt_group(const NexthopFact& fact) {
  const Slot slot{Ids::local_of(fact.id), Ids::six_of(fact.id) ? std::size_t{1} : std::size_t{0}};
  if (slot.id == kNoClass || slot.id >= classes_.size() || fact.entries.empty()) return false;
  const Class& c = classes_[slot.id];
  Half& h = half(slot);
  if (!c.known || c.withdrawn || h.group != 0) return false;
  // The class's own group has what it should have, or a part: next hops that were down.
  const Plan p = plan(slot);
  if (p.plain() || !std::includes(p.content.begin(), p.content.end(), fact.entries.begin(),
                                  fact.entries.end())) {
    return false;
  }
  h.group = fact.id;
  h.content = fact.entries;
  groups_[fact.id] = slot;
  settle_state(slot, p);
  mark(slot);
  return true;
}

void Mirror::remove_orphans(const std::string& cause) {
  if (orphans_.empty()) return;
  Outcome refusal;
  for (const auto& [id, content] : std::exchange(orphans_, {})) {
    const Outcome outcome = remove_group(id, content);
    if (outcome.ok()) {
      members_.leave(content);
    } else {
      refusal = outcome;
    }
  }
  if (!orphans_.empty()) {
    // Which routes are left nobody knows: an audit tells.
    each_entry([&](auto& e) {
      if (e.have == kOrphaned) blame(e, refusal);
    });
    doubts_routes_ = true;
    return;
  }
  const Losses losses = lose({}, kOrphaned);
  if (!cause.empty()) note_lost(losses, cause);
}

void Mirror::set_nexthops(std::span<const NexthopFact> facts, const std::string& cause) {
  flush();
  doubts_nexthops_ = false;
  const std::vector<std::uint32_t> others = members_.reset(facts);
  blocked_.clear();
  orphans_.clear();
  std::set<std::uint32_t> seen;
  std::vector<NexthopFact> unowned;
  std::map<Slot, Groups> altered;
  for (const NexthopFact& fact : facts) {
    if (!ids_.is_group(fact.id)) continue;
    if (fact.protocol != kProtocol || !fact.group) {
      blocked_.insert(fact.id);
      continue;
    }
    NexthopFact own = fact;
    std::sort(own.entries.begin(), own.entries.end());
    members_.hold(own.entries);
    const auto owner = groups_.find(fact.id);
    if (owner == groups_.end()) {
      unowned.push_back(std::move(own));
      continue;
    }
    seen.insert(fact.id);
    Half& h = half(owner->second);
    const bool other = std::any_of(own.entries.begin(), own.entries.end(), [&](const auto& e) {
      return std::binary_search(others.begin(), others.end(), e.member);
    });
    if (!other && h.content == own.entries) continue;
    altered[owner->second] = own.entries;
    h.content = std::move(own.entries);
    mark(owner->second);
  }
  std::set<Slot> lost;
  for (const auto& [id, slot] : groups_) {
    if (seen.contains(id)) continue;
    lost.insert(slot);
    half(slot).content.clear();  // held by nobody any more
  }
  Losses losses;
  if (!lost.empty()) losses = lose(lost, kAbsent);
  for (const Slot slot : lost) {
    half(slot).reason = 0;
    mark(slot);
  }
  for (NexthopFact& fact : unowned) {
    if (!adopting_ || !adopt_group(fact)) orphans_[fact.id] = std::move(fact.entries);
  }
  if (!adopting_) remove_orphans(cause);
  for (std::uint32_t id = 1; id < classes_.size() && partial_ > 0; ++id) {
    for (std::size_t family = 0; family < kFamilies; ++family) {
      const Half& h = classes_[id].half[family];
      if (h.partial && !h.stale) mark({id, family});  // what was refused waits for retry()
    }
  }
  if (settle_groups() || !lost.empty()) await_unfit();
  note_lost(losses, cause);
  note_altered(altered, cause);
  if (!adopting_) members_.collect();
}

void Mirror::route_removed(const RouteFact& route, const std::string& cause) {
  if (route.protocol != kProtocol || route.metric != place_.metric) return;
  typed(route.prefix, [&](const auto& p) {
    auto& t = table<std::decay_t<decltype(p)>>();
    auto* const e = t.find(p);
    if (e == nullptr || e->have == kAbsent) return;
    if (e->wanted == kNoClass) {
      set_have(*e, kAbsent);
      t.erase(e);
      return;
    }
    // The news may be older than an operation of ours on the same prefix: replacing is
    // right whether something is there or not.
    set_have(*e, kOther);
    if (!counts(e->wanted)) return;
    note(route.prefix, cause);
    await(*e);
  });
}

void Mirror::route_replaced(const RouteFact& route, const std::string& cause) {
  if (route.metric != place_.metric) return;
  typed(route.prefix, [&](const auto& p) {
    auto* const e = table<std::decay_t<decltype(p)>>().find(p);
    if (e == nullptr || e->have == kAbsent) return;
    if (state_of(route, e->wanted, e->have) == e->have) return;
    set_have(*e, kOther);
    if (!counts(e->wanted)) return;
    note(route.prefix, cause);
    await(*e);
  });
}

// What the route makes of its prefix.
std::uint32_t Mirror::state_of(const RouteFact& route, std::uint32_t wanted,
                               std::uint32_t have) const {
  if (route.protocol != kProtocol) return kOther;
  const std::size_t family = route.prefix.address.family == 4 ? 0 : 1;
  if (route.type == RouteType::kGroup) {
    const auto owner = groups_.find(route.group);
    if (owner != groups_.end() && owner->second.family == family) return owner->second.id;
    return orphans_.contains(route.group) ? kOrphaned : kOther;
  }
  const auto fits = [&](std::uint32_t id) {
    return is_class(id) && classes_[id].half[family].type == route.type;
  };
  if (fits(wanted)) return wanted;
  if (fits(have)) return have;
  return route.type == RouteType::kUnreachable ? kUnreachable
         : route.type == RouteType::kProhibit  ? kProhibit
                                               : kOther;
}

void Mirror::begin_audit(bool keep) {
  flush();
  doubts_routes_ = false;
  strays_.clear();
  suspects_.clear();
  if (!keep) findings_.differences.clear();
  findings_.routes = 0;
  mark_ = static_cast<std::uint8_t>(mark_ % 255 + 1);
}

void Mirror::audit(const RouteFact& route) {
  if (route.protocol != kProtocol) return;
  ++findings_.routes;
  if (route.metric != place_.metric) {
    if (!adopting_) found(route.prefix, "left over, with another metric");
    RouteOperation op;
    op.kind = RouteOperation::Kind::kDelete;
    op.prefix = route.prefix;
    op.metric = route.metric;
    strays_.push_back(op);
    return;
  }
  typed(route.prefix, [&](const auto& p) {
    auto& e = table<std::decay_t<decltype(p)>>().at(p);
    if (e.mark == mark_) return;  // changed since the audit began
    const std::uint32_t state = state_of(route, e.wanted, e.have);
    const bool differs = state != e.have;
    set_have(e, state);
    if (differs && !adopting_ && e.wanted == kNoClass) found(route.prefix, "left over");
    if (adopting_ || !counts(e.wanted) || state == e.wanted) return;
    if (differs) note(route.prefix, "changed unseen, found by an audit");
    failures_stale_ |= std::exchange(e.reason, std::uint8_t{0}) != 0;
    await(e);
  });
}

std::size_t Mirror::end_audit(bool sound) {
  if (!sound) doubts_routes_ = true;
  unproved_before_ = std::exchange(unproved_, {});
  std::sort(unproved_before_.begin(), unproved_before_.end());
  std::vector<Prefix> withdrawn;
  const auto look = [&](auto& t) {
    using P = decltype(t.at({}).prefix());
    std::vector<P> missing;
    t.for_each([&](auto& e) {
      if (!adopting_ && e.wanted != kNoClass && !counts(e.wanted) && e.have != kAbsent)
        withdrawn.push_back(Prefix::of(e.prefix()));
      if (sound && e.have != kAbsent && e.mark != mark_) {
        missing.push_back(e.prefix());
      } else if (!adopting_ && e.wanted == kNoClass && e.have != kAbsent) {
        leaving<P>().push_back(e.prefix());
      }
    });
    for (const P& p : missing) {
      auto* const e = t.find(p);
      if constexpr (P::kWidth == 128) {
        // Removing a route that is gone is no mistake.
        if (counts(e->wanted) && e->have == e->wanted) {
          suspects_.push_back(p);
          continue;
        }
        if (e->wanted == kNoClass) {
          if (!adopting_) leaving6_.push_back(p);
          continue;
        }
        // One that is to change, and can not be added to see: two audits must agree.
        if (!std::binary_search(unproved_before_.begin(), unproved_before_.end(), p)) {
          unproved_.push_back(p);
          doubts_routes_ = true;
          if (counts(e->wanted) && e->reason == 0) await(*e);
          continue;
        }
      }
      set_have(*e, kAbsent);
      if (e->wanted == kNoClass) {
        t.erase(e);
      } else if (counts(e->wanted)) {
        note(Prefix::of(p), "lost unseen, found by an audit");
        await(*e);
      }
    }
  };
  look(table4_);
  look(table6_);
  std::sort(suspects_.begin(), suspects_.end(), [](const Prefix6& a, const Prefix6& b) {
    return a.length != b.length ? a.length > b.length : a.address > b.address;
  });
  if (adopting_) return suspects_.size();
  remove_leaving();
  for (const Prefix& p : withdrawn) remove_single(p);
  for (const RouteOperation& stray : std::exchange(strays_, {})) push(stray, {});
  flush();
  return suspects_.size();
}

}  // namespace dvr::kernel
