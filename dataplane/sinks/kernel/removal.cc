// Mirror: what leaves.
//
// The kernel removes single IPv4 routes slowly (some 13 µs each with a million of them, six
// times the cost of adding one), but all routes of a group within one walk of its table. So many
// routes leave with their group: as it is when they are all of it, else in a copy of the
// group that they are moved to first, so that they forward until they go.
#include <algorithm>
#include <cerrno>

#include "sinks/kernel/mirror.h"

namespace dvr::kernel {
namespace {

// A walk of a table costs as much as the removal of one route in 64, or so.
constexpr std::uint64_t kShare = 64;
constexpr std::uint64_t kFewest4 = 1024;
// The kernel takes IPv6 routes of a group out one by one itself.
constexpr std::uint64_t kFewest6 = 256;
// A group of no class, for what is about to go.
constexpr std::uint32_t kNoClass = 0;

}  // namespace

void Mirror::remove_single(const Prefix& prefix) {
  typed(prefix, [&](const auto& p) {
    auto& t = table<std::decay_t<decltype(p)>>();
    auto* e = t.find(p);
    if (e == nullptr) return;
    e = ready(p, e);
    if (e == nullptr) return;
    if (e->have != kAbsent) {
      RouteOperation op;
      op.kind = RouteOperation::Kind::kDelete;
      op.prefix = prefix;
      const std::uint32_t before = e->have;
      set_have(*e, kAbsent);  // flush() erases it
      push(op, {before, kAbsent});
    } else if (e->wanted == kNoClass) {
      t.erase(e);
    }
  });
}

void Mirror::remove_whole(const std::set<Slot>& slots) {
  flush();  // what moves away from them does so first
  std::set<Slot> gone, kept;
  Outcome refusal;
  for (const Slot slot : slots) {
    Half& h = half(slot);
    if (h.group == 0 && h.installed > 0) continue;  // plain routes that could not be removed
    const Outcome outcome = h.group == 0 ? Outcome{} : remove_group(h.group, h.content);
    if (outcome.ok()) {
      gone.insert(slot);
      continue;
    }
    refusal = outcome;
    kept.insert(slot);
    groups_.erase(h.group);
    h.group = 0;
    h.content.clear();  // the orphan's
    set_stale(slot, false);
    settle_item(classes_[slot.id]);
  }
  lose(gone, kAbsent);
  if (kept.empty()) return;
  each_entry([&](auto& e) {
    const std::size_t family = family_of<std::decay_t<decltype(e.prefix())>>();
    if (!is_class(e.have) || !kept.contains({e.have, family})) return;
    set_have(e, kOrphaned);
    blame(e, refusal);
  });
}

// Sorts what leaves into groups that leave as a whole, large parts of groups, and the rest.
template <class P>
void Mirror::pick_leaving(std::set<Slot>* whole, std::map<std::uint32_t, std::vector<P>>* parts,
                          std::vector<P>* single) {
  constexpr std::size_t kFamily = family_of<P>();
  const std::uint64_t many = kFamily == 0 ? std::max(kFewest4, installed4_ / kShare) : kFewest6;
  std::vector<P> all;
  all.swap(leaving<P>());
  for (const P& p : all) {
    const auto* const e = table<P>().find(p);
    if (e == nullptr || e->wanted != kNoClass) continue;
    if (is_class(e->have) && classes_[e->have].half[kFamily].group != 0) {
      (*parts)[e->have].push_back(p);
    } else {
      single->push_back(p);
    }
  }
  for (auto part = parts->begin(); part != parts->end();) {
    auto& [id, prefixes] = *part;
    std::sort(prefixes.begin(), prefixes.end());
    prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
    const bool all_of_it = prefixes.size() == classes_[id].half[kFamily].installed;
    if (prefixes.size() >= many && all_of_it) {
      whole->insert({id, kFamily});
    } else if (prefixes.size() >= many && kFamily == 0) {
      ++part;
      continue;
    } else {
      single->insert(single->end(), prefixes.begin(), prefixes.end());
    }
    part = parts->erase(part);
  }
}

void Mirror::remove_leaving() {
  if (withdrawn_.empty() && leaving4_.empty() && leaving6_.empty()) return;
  flush();
  std::set<Slot> whole, small;
  bool unfit = false;
  const std::uint64_t many4 = std::max(kFewest4, installed4_ / kShare);
  for (const Slot slot : std::exchange(withdrawn_, {})) {
    const Half& h = half(slot);
    unfit |= h.unfit;
    const bool many = h.installed >= (slot.family == 0 ? many4 : kFewest6);
    if (h.installed == 0 || (h.group != 0 && many)) {
      whole.insert(slot);
    } else {
      small.insert(slot);
    }
  }
  std::map<std::uint32_t, std::vector<Prefix4>> parts4;
  std::map<std::uint32_t, std::vector<Prefix6>> parts6;
  std::vector<Prefix4> single4, withdrawn4;
  std::vector<Prefix6> single6;
  pick_leaving(&whole, &parts4, &single4);
  pick_leaving(&whole, &parts6, &single6);
  if (!small.empty() || unfit) {
    std::array<std::vector<bool>, kFamilies> picked;
    for (std::vector<bool>& p : picked) p.resize(classes_.size());
    for (const Slot slot : small) picked[slot.family][slot.id] = true;
    // Prefixes that have another route than their class's leave, too.
    const auto goes = [&](const auto& e, std::size_t family) {
      if (is_class(e.have) && picked[family][e.have]) return true;
      return e.wanted != kNoClass && e.have != kAbsent && e.have != e.wanted &&
             classes_[e.wanted].withdrawn;
    };
    table4_.for_each([&](const auto& e) {
      if (goes(e, 0)) withdrawn4.push_back(e.prefix());
    });
    table6_.for_each([&](const auto& e) {
      if (goes(e, 1)) single6.push_back(e.prefix());
    });
  }
  if (!whole.empty()) remove_whole(whole);
  for (const auto& [id, prefixes] : parts4) {
    remove_by_copy(classes_[id].half[0].content, prefixes);
  }
  if (withdrawn4.size() >= many4) {
    // They drop their packets already, so no next hop is kept for them.
    Groups drop(1);
    if (members_.get({4, true, 0, {}}, &drop[0].member).ok()) remove_by_copy(drop, withdrawn4);
  }
  for (const Prefix4& p : withdrawn4) remove_single(Prefix::of(p));
  for (const Prefix4& p : single4) remove_single(Prefix::of(p));
  for (const Prefix6& p : single6) remove_single(Prefix::of(p));
  flush();
  if (!small.empty()) remove_whole(small);
}

void Mirror::remove_by_copy(const Groups& content, const std::vector<Prefix4>& prefixes) {
  std::uint32_t copy = 0;
  for (std::uint32_t g = 0; copy == 0 && g < Ids::kGenerations; ++g) {
    const std::uint32_t id = ids_.group(kNoClass, false, g);
    if (blocked_.contains(id) || orphans_.contains(id)) continue;
    if (port_.set_group(id, content, false).ok()) copy = id;
  }
  if (copy != 0) {
    for (const Prefix4& p : prefixes) {
      auto* e = table4_.find(p);
      if (e != nullptr) e = ready(p, e);
      if (e == nullptr || e->have == kAbsent) continue;
      RouteOperation op;
      op.kind = RouteOperation::Kind::kReplace;
      op.group = copy;
      op.prefix = Prefix::of(p);
      const std::uint32_t before = e->have;
      set_have(*e, kLeaving);
      push(op, {before, kLeaving});
    }
    flush();
    if (remove_group(copy, content).ok()) {
      lose({}, kLeaving);
    } else {
      members_.hold(content);
      table4_.for_each([&](auto& e) {
        if (e.have == kLeaving) set_have(e, kOrphaned);
      });
    }
  }
  for (const Prefix4& p : prefixes) remove_single(Prefix::of(p));
}

}  // namespace dvr::kernel
