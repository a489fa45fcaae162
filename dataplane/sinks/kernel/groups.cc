// Mirror: next-hop groups.
#include <algorithm>
#include <cerrno>

#include "sinks/kernel/mirror.h"

namespace dvr::kernel {
namespace {

constexpr std::uint32_t kNarrowWeight = 256;

std::string describe(const NextHop& hop) {
  std::string text = "next hop";
  if (hop.address.family != 0) text.append(" ").append(to_string(hop.address));
  if (!hop.interface.empty()) text.append(" dev ").append(hop.interface);
  return text;
}

// Keeps the proportions of weights that are too large for the kernel.
void narrow(std::vector<GroupEntry>* entries) {
  std::uint32_t most = 0;
  for (const GroupEntry& e : *entries) most = std::max<std::uint32_t>(most, e.weight);
  if (most <= kNarrowWeight) return;
  for (GroupEntry& e : *entries) {
    const std::uint32_t scaled = (e.weight * kNarrowWeight + most / 2) / most;
    e.weight = static_cast<std::uint16_t>(std::max<std::uint32_t>(scaled, 1));
  }
}

}  // namespace

Mirror::Class& Mirror::at(std::uint32_t id) {
  if (id >= classes_.size()) classes_.resize(std::max<std::size_t>(id + 1, classes_.size() * 2));
  return classes_[id];
}

void Mirror::mark(Slot slot) {
  if (std::exchange(half(slot).dirty, true)) return;
  dirty_.push_back(slot);
}

void Mirror::want_group(std::uint32_t id, const ClassId& class_id, std::vector<NextHop> hops) {
  Class& c = at(id);
  if (hops.empty()) {
    flush();  // what is refused of it is told before it is judged
    for (std::size_t family = 0; family < kFamilies; ++family) {
      Half& h = c.half[family];
      h.unfit |= h.wanted != h.right;
      wanted_ -= h.wanted;
      right_ -= h.right;
      h.wanted = h.right = 0;
      if (std::exchange(h.partial, false)) --partial_;
      set_stale({id, family}, false);
      withdrawn_.insert({id, family});
    }
    c.withdrawn = true;
    failures_stale_ = true;
    return;
  }
  c.known = true;
  c.withdrawn = false;
  c.id = class_id;
  c.whole = group_item(class_id, hops);
  // Of routes that are there it stands when their group has changed: see settle_item().
  if (c.installed() == 0) c.item = c.whole;
  c.hops = std::move(hops);
  c.floating = std::any_of(c.hops.begin(), c.hops.end(), [](const NextHop& h) {
    return h.interface.empty() && h.address.family != 0;
  });
  for (std::size_t family = 0; family < kFamilies; ++family) mark({id, family});
}

// What is wrong with the hop; empty: nothing.
std::string Mirror::member_of(const NextHop& hop, std::size_t family, Member* member) {
  *member = {};
  member->family = family == 0 ? 4 : 6;
  if (hop.type == NextHop::Type::kBlackhole) {
    member->blackhole = true;
    return "";
  }
  if (hop.address.family == 4 && family == 1) return "IPv6 routes can not use an IPv4 next hop";
  if (hop.address.family != 0) {
    member->family = hop.address.family;
    member->gateway = hop.address;
  }
  if (!hop.interface.empty()) {
    const auto link = links_.find(hop.interface);
    if (link == links_.end()) return "there is no such interface";
    if (!link->second.usable) return "the interface is down";
    member->interface = link->second.index;
    return "";
  }
  if (hop.address.family == 0) return "it names neither an address nor an interface";
  const std::string key = to_bytes(hop.address);
  auto way = ways_.find(key);
  if (way == ways_.end()) way = ways_.emplace(key, port_.interface_of(hop.address)).first;
  if (!way->second) return "no interface has it on its link";
  member->interface = *way->second;
  return "";
}

Mirror::Plan Mirror::plan(Slot slot) {
  Plan plan;
  const Class& c = classes_[slot.id];
  plan.type = type_of(c.hops);
  if (plan.plain()) {
    plan.live = c.hops;
    return plan;
  }
  std::vector<const NextHop*> dead;
  const auto take = [&](const NextHop& hop, bool also_dead) {
    Member member;
    std::uint32_t id = 0;
    std::string wrong = member_of(hop, slot.family, &member);
    if (wrong.empty() && !also_dead && dead_.contains({member.interface, member.gateway})) {
      dead.push_back(&hop);
      return;
    }
    if (wrong.empty()) wrong = members_.get(member, &id).words;
    if (!wrong.empty()) {
      plan.reason = describe(hop) + ": " + wrong;
      return;
    }
    plan.live.push_back(hop);
    // Hops that differ by the neighbour alone are one to the kernel.
    const auto same = std::find_if(plan.content.begin(), plan.content.end(),
                                   [id](const GroupEntry& e) { return e.member == id; });
    if (same == plan.content.end()) {
      plan.content.push_back({id, hop.weight});
    } else {
      same->weight = static_cast<std::uint16_t>(std::min(65535, same->weight + hop.weight));
    }
  };
  for (const NextHop& hop : c.hops) take(hop, false);
  // Where nobody answers it is better to go on trying than to give up the prefixes.
  if (plan.content.empty()) {
    for (const NextHop* const hop : dead) take(*hop, true);
  }
  std::sort(plan.content.begin(), plan.content.end());
  if (!wide_weights_) narrow(&plan.content);
  return plan;
}

void Mirror::set_alive(std::span<const std::pair<Neighbour, bool>> changes) {
  std::set<std::string> addresses;
  for (const auto& [neighbour, alive] : changes) {
    const bool news = alive ? dead_.erase(neighbour) > 0 : dead_.insert(neighbour).second;
    if (news) addresses.insert(to_bytes(neighbour.address));
  }
  if (addresses.empty()) return;
  for (std::uint32_t id = 1; id < classes_.size(); ++id) {
    const Class& c = classes_[id];
    if (!c.known || std::none_of(c.hops.begin(), c.hops.end(), [&](const NextHop& h) {
          return h.address.family != 0 && addresses.contains(to_bytes(h.address));
        })) {
      continue;
    }
    for (std::size_t family = 0; family < kFamilies; ++family) mark({id, family});
  }
  if (settle_groups()) await_unfit();
  flush();
  if (!adopting_) members_.collect();
}

bool Mirror::settle_groups(const Slot* asking) {
  if (dirty_.empty()) return false;
  std::vector<Slot> slots;
  slots.swap(dirty_);
  ways_.clear();
  members_.begin();
  std::vector<Change> changes;
  std::set<Slot> gone;
  bool came = false;
  for (const Slot slot : slots) {
    if (!std::exchange(half(slot).dirty, false)) continue;
    const Class& c = classes_[slot.id];
    const Half& h = half(slot);
    if (!c.known || c.withdrawn) continue;
    if (h.wanted == 0 && h.installed == 0 && !(loading_ && h.group != 0)) {
      // Its last prefix has left: a group comes again with the next one.
      if (h.group != 0) gone.insert(slot);
      set_stale(slot, false);
      half(slot).type = RouteType::kGroup;
      half(slot).reason = 0;
      continue;
    }
    Plan p = plan(slot);
    if (p.plain() || h.plain()) {
      change_type(slot, p);
      came = true;
    } else if (p.content.empty()) {
      settle_state(slot, p);
      if (h.group != 0) gone.insert(slot);
    } else if (h.group != 0 && p.content == h.content) {
      settle_state(slot, p);
    } else {
      changes.push_back({slot, std::move(p)});
    }
  }
  remove_dead(&changes);
  for (const Change& change : changes) {
    if (half(change.slot).group != 0) {
      replace(change.slot, change.plan);
    } else {
      bring(change.slot, change.plan);
      const Half& h = half(change.slot);
      if (h.group == 0 ||
          h.wanted - h.right <= (asking != nullptr && change.slot == *asking ? 1u : 0u)) {
        continue;
      }
      came = true;
      came_.insert(change.slot);
    }
  }
  if (!gone.empty()) remove_whole(gone);
  return came;
}

// Changes that do nothing but take out next hops which no other group keeps: those objects are
// removed, and the kernel takes them out of all groups at once. The order of the others is
// not touched: what such a group gains is there before what it loses goes.
void Mirror::remove_dead(std::vector<Change>* changes) {
  std::map<std::uint32_t, std::uint32_t> dropped;
  const auto keeps = [](const Groups& content, const GroupEntry& e) {
    return std::binary_search(content.begin(), content.end(), e);
  };
  const auto drops = [](const Groups& content, std::uint32_t member) {
    return std::none_of(content.begin(), content.end(),
                        [member](const GroupEntry& e) { return e.member == member; });
  };
  const auto shrinks = [&](const Change& change) {
    const Groups& now = half(change.slot).content;
    return half(change.slot).group != 0 &&
           std::all_of(change.plan.content.begin(), change.plan.content.end(),
                       [&](const GroupEntry& e) { return keeps(now, e); });
  };
  for (const Change& change : *changes) {
    if (!shrinks(change)) continue;
    for (const GroupEntry& e : half(change.slot).content) {
      if (drops(change.plan.content, e.member)) ++dropped[e.member];
    }
  }
  std::erase_if(dropped, [this](const auto& d) { return d.second != members_.holders(d.first); });
  for (const Change& change : *changes) {
    for (const GroupEntry& e : change.plan.content) dropped.erase(e.member);  // about to be held
  }
  if (dropped.empty()) return;
  // All that a change drops must be dead, else the group is replaced as a whole.
  std::map<std::uint32_t, bool> removed;
  std::erase_if(*changes, [&](const Change& change) {
    if (!shrinks(change)) return false;
    Half& h = half(change.slot);
    for (const GroupEntry& e : h.content) {
      if (drops(change.plan.content, e.member) && !dropped.contains(e.member)) return false;
    }
    for (const GroupEntry& e : h.content) {
      if (!drops(change.plan.content, e.member)) continue;
      const auto [at, first] = removed.try_emplace(e.member, false);
      if (first) at->second = members_.remove(e.member).ok();
      if (!at->second) return false;
    }
    set_content(h, change.plan.content);
    settle_state(change.slot, change.plan);
    return true;
  });
}

void Mirror::bring(Slot slot, const Plan& plan) {
  Half& h = half(slot);
  settle_state(slot, plan);
  Outcome outcome{ENOSPC, "too many classes"};
  for (std::uint32_t g = 0; g < Ids::kGenerations && slot.id < Ids::kMostClasses; ++g) {
    const std::uint32_t id = ids_.group(slot.id, slot.family == 1, g);
    if (blocked_.contains(id) || orphans_.contains(id) || groups_.contains(id)) continue;
    outcome = port_.set_group(id, plan.content, false);
    if (outcome.error == EEXIST) {
      blocked_.insert(id);
      continue;
    }
    if (!outcome.ok()) break;
    h.group = id;
    groups_[id] = slot;
    set_content(h, plan.content);
    settle_item(classes_[slot.id]);
    return;
  }
  h.reason = reason_of("next-hop group: " + outcome.words);
  doubts_nexthops_ |= outcome.error == EINVAL || outcome.error == ENOENT;
  failures_stale_ = true;
}

void Mirror::replace(Slot slot, const Plan& plan) {
  const Outcome outcome = port_.set_group(half(slot).group, plan.content, true);
  if (outcome.ok()) {
    set_content(half(slot), plan.content);
    settle_state(slot, plan);
    return;
  }
  // It stays as it is until the next try, or until the next look at the kernel's next hops
  // shows that it is not as it was thought to be.
  Class& c = classes_[slot.id];
  Half& h = half(slot);
  if (h.item == c.whole) h.item = {};
  set_stale(slot, true);
  h.reason = reason_of("next-hop group: " + outcome.words);
  settle_item(c);
  doubts_nexthops_ = true;
}

// From a group to a type of route or back: the routes are replaced one by one, then the
// group goes.
void Mirror::change_type(Slot slot, const Plan& plan) {
  Half& h = half(slot);
  if (plan.type == h.type) return settle_state(slot, plan);
  const std::uint32_t old = h.group;
  const Groups content = std::exchange(h.content, {});
  // What the kernel has may be newer than what is known before the first delta has ended.
  const std::uint32_t state = adopting_ && old != 0 ? kOrphaned : kOther;
  h.type = plan.type;
  h.group = 0;
  if (plan.plain() || plan.content.empty()) {
    settle_state(slot, plan);
  } else {
    bring(slot, plan);
  }
  flush();
  const auto differ = [&](auto& e) {
    if (family_of<std::decay_t<decltype(e.prefix())>>() == slot.family && e.have == slot.id)
      set_have(e, state);
  };
  if (h.installed > 0) each_entry(differ);
  await_unfit();
  while (work(kMaxNextHops * 64)) {
  }
  if (old == 0) return;
  groups_.erase(old);
  if (state == kOrphaned) {
    orphans_[old] = content;
    return;
  }
  if (remove_group(old, content).ok()) members_.leave(content);
}

Outcome Mirror::remove_group(std::uint32_t id, const Groups& content) {
  Outcome outcome = port_.remove_nexthop(id);
  if (outcome.ok() || outcome.error == ENOENT) return {};
  orphans_[id] = content;
  return outcome;
}

void Mirror::set_content(Half& half, Groups content) {
  members_.hold(content);
  members_.leave(half.content);
  half.content = std::move(content);
}

void Mirror::settle_state(Slot slot, const Plan& plan) {
  Class& c = classes_[slot.id];
  Half& h = half(slot);
  const bool partial = !plan.content.empty() && plan.live.size() < c.hops.size();
  const bool none = plan.content.empty() && !plan.plain();
  if (h.partial) --partial_;
  if (partial) ++partial_;
  h.partial = partial;
  set_stale(slot, false);
  const std::uint8_t reason = none ? reason_of(plan.reason) : std::uint8_t{0};
  failures_stale_ |= h.reason != reason;
  h.reason = reason;
  if (!none) h.item = partial ? group_item(c.id, plan.live) : c.whole;
  settle_item(c);
}

void Mirror::settle_item(Class& c) {
  Digest item = c.whole;
  for (const Half& h : c.half) {
    if (item == c.whole && h.available()) item = h.item;
  }
  if (c.installed() > 0) {
    installed_ -= c.item;
    installed_ += item;
  }
  c.item = item;
}

void Mirror::set_stale(Slot slot, bool stale) {
  Half& h = half(slot);
  if (stale) {
    stale_.insert(slot);
  } else if (h.stale) {
    stale_.erase(slot);
    h.reason = 0;
  }
  failures_stale_ |= stale || h.stale;
  h.stale = stale;
}

void Mirror::drop_group(Slot slot) {
  Half& h = half(slot);
  if (h.group == 0) return;
  groups_.erase(h.group);
  members_.leave(h.content);
  h.content.clear();
  h.group = 0;
  set_stale(slot, false);
  settle_item(classes_[slot.id]);
}

Mirror::Losses Mirror::lose(const std::set<Slot>& slots, std::uint32_t others) {
  std::array<std::vector<bool>, kFamilies> lost;
  for (const Slot slot : slots) {
    Class& c = classes_[slot.id];
    Half& h = half(slot);
    drop_group(slot);
    if (h.installed > 0) {
      installed_ -= h.sum;
      if (c.installed() == h.installed) installed_ -= c.item;
      entries_ -= h.installed;
      installed4_ -= slot.family == 0 ? h.installed : 0;
      right_ -= h.right;
      failures_stale_ = true;
    }
    h.installed = h.right = 0;
    h.sum = {};
    lost[slot.family].resize(classes_.size());
    lost[slot.family][slot.id] = true;
  }
  Losses losses;
  const auto purge = [&](auto& t) {
    using P = decltype(t.at({}).prefix());
    constexpr std::size_t kFamily = family_of<P>();
    if (lost[kFamily].empty() && others == kAbsent) return;
    std::vector<P> left;
    t.for_each([&](auto& e) {
      const bool is_lost = is_class(e.have) ? !lost[kFamily].empty() && lost[kFamily][e.have]
                                            : e.have != kAbsent && e.have == others;
      if (!is_lost) return;
      if (!is_class(e.have) && kFamily == 0) --installed4_;
      e.have = kAbsent;
      e.mark = mark_;
      failures_stale_ |= e.reason != 0;
      if (e.wanted == kAbsent) {
        left.push_back(e.prefix());
        return;
      }
      if (!counts(e.wanted)) return;
      if (losses[kFamily].empty()) losses[kFamily].resize(classes_.size());
      Loss& loss = losses[kFamily][e.wanted];
      if (loss.count++ == 0 || e.length < loss.shortest.length)
        loss.shortest = Prefix::of(e.prefix());
    });
    for (const P& p : left) t.erase(t.find(p));
  };
  purge(table4_);
  purge(table6_);
  return losses;
}

}  // namespace dvr::kernel
