#include "sinks/kernel/members.h"

#include <algorithm>
#include <cerrno>
#include <tuple>

namespace dvr::kernel {

bool Members::Less::operator()(const Member& a, const Member& b) const {
  const auto key = [](const Member& m) {
    return std::make_tuple(m.family, m.blackhole, m.interface, m.gateway.family, m.gateway.bits);
  };
  return key(a) < key(b);
}

Outcome Members::get(const Member& member, std::uint32_t* id) {
  if (const auto known = by_member_.find(member); known != by_member_.end()) {
    *id = known->second;
    return {};
  }
  if (const auto known = refused_.find(member); known != refused_.end()) return known->second;
  for (std::uint32_t tries = 0; tries < Ids::kMostMembers; ++tries) {
    const std::uint32_t candidate = ids_.member(next_);
    next_ = (next_ + 1) % Ids::kMostMembers;
    if (taken_.contains(candidate)) continue;
    Outcome outcome = port_.add_member(candidate, member);
    if (outcome.error == EEXIST) {
      block(candidate);
      continue;
    }
    if (!outcome.ok()) return refused_[member] = outcome;
    by_member_[member] = candidate;
    taken_[candidate].ours = unused_ = true;
    *id = candidate;
    return {};
  }
  return {ENOSPC, "too many next hops"};
}

void Members::hold(std::span<const GroupEntry> entries) {
  for (const GroupEntry& e : entries) ++taken_[e.member].holders;
}

void Members::leave(std::span<const GroupEntry> entries) {
  for (const GroupEntry& e : entries) {
    if (const auto use = taken_.find(e.member); use != taken_.end() && use->second.holders > 0)
      unused_ |= --use->second.holders == 0;
  }
}

std::set<Neighbour> Members::neighbours() const {
  std::set<Neighbour> all;
  for (const auto& [member, id] : by_member_) {
    if (member.gateway.family != 0 && holders(id) > 0)
      all.insert({member.interface, member.gateway});
  }
  return all;
}

std::uint32_t Members::holders(std::uint32_t id) const {
  const auto use = taken_.find(id);
  return use == taken_.end() ? 0 : use->second.holders;
}

Outcome Members::remove(std::uint32_t id) {
  Outcome outcome = port_.remove_nexthop(id);
  if (!outcome.ok() && outcome.error != ENOENT) return outcome;
  std::erase_if(by_member_, [id](const auto& known) { return known.second == id; });
  taken_.erase(id);
  return {};
}

void Members::collect() {
  if (!unused_) return;
  unused_ = false;
  std::vector<std::uint32_t> unused;
  for (const auto& [id, use] : taken_) {
    if (use.ours && use.holders == 0) unused.push_back(id);
  }
  for (std::uint32_t id : unused) {
    if (!remove(id).ok()) taken_[id].ours = false;  // left alone from now on
  }
}

std::vector<std::uint32_t> Members::reset(std::span<const NexthopFact> facts) {
  std::map<std::uint32_t, Member> before;
  for (const auto& [member, id] : by_member_) before.emplace(id, member);
  std::vector<std::uint32_t> altered;
  by_member_.clear();
  taken_.clear();
  unused_ = true;
  for (const NexthopFact& fact : facts) {
    if (!ids_.is_member(fact.id)) continue;
    const bool ours = fact.protocol == kProtocol && !fact.group;
    taken_[fact.id].ours = ours;
    if (ours) by_member_.try_emplace(fact.member, fact.id);
    const auto known = before.find(fact.id);
    if (known != before.end() && (!ours || known->second != fact.member)) {
      altered.push_back(fact.id);
    }
  }
  std::sort(altered.begin(), altered.end());
  return altered;
}

}  // namespace dvr::kernel
