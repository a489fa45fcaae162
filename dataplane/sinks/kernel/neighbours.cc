#include "sinks/kernel/neighbours.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace dvr::kernel {

bool Neighbours::use(const std::set<Neighbour>& used, TimePoint now) {
  for (auto at = all_.begin(); at != all_.end();) {
    State& s = at->second;
    const bool was = std::exchange(s.used, used.contains(at->first));
    if (was || s.used) s.left = now;
    at = s.dead || !s.told || now - s.left <= kGrace ? std::next(at) : all_.erase(at);
  }
  bool came = false;
  for (const Neighbour& n : used) {
    if (all_.size() >= kMost) break;
    const auto [at, first] = all_.try_emplace(n);
    if (!first) continue;
    at->second.used = came = true;
    at->second.every = every_(n);
    at->second.ask = at->second.left = now;
  }
  return came;
}

void Neighbours::reschedule(TimePoint now) {
  for (auto& [n, s] : all_) {
    const auto every = every_(n);
    if (every == s.every) continue;
    s.every = every;
    if (!s.dead) s.ask = now;
  }
}

void Neighbours::fail(Entry& entry, TimePoint now) {
  State& s = entry.second;
  if (!s.dead || s.answers) s.hold.failed(now);
  if (!s.dead) s.ask = now + kAgain;
  s.dead = true;
  s.answers.reset();
  s.settles.reset();
}

void Neighbours::recover(State& s, TimePoint now) {
  if (s.dead && !s.answers) s.answers = now;
  s.settles.reset();
}

void Neighbours::heard(const NeighbourFact& fact, TimePoint now) {
  const auto at = all_.find(fact.neighbour);
  if (at == all_.end()) return;
  at->second.fixed = fact.state == NeighbourFact::State::kFixed;
  if (fact.state == NeighbourFact::State::kFailed) {
    fail(*at, now);
  } else if (!down_.contains(fact.neighbour.interface)) {
    recover(at->second, now);
  }
}

void Neighbours::link(std::uint32_t interface, bool usable, TimePoint now) {
  if (usable ? down_.erase(interface) == 0 : !down_.insert(interface).second) return;
  for (auto at = all_.lower_bound({interface, {}});
       at != all_.end() && at->first.interface == interface; ++at) {
    State& s = at->second;
    s.answers.reset();
    s.settles.reset();
    s.ask = now + kAgain;
    if (!usable || s.fixed) {
      s.dead = !usable;
    } else if (s.dead) {
      // Whether it answers is found out before anything is sent to it.
      s.ask = now;
      s.settles = std::max(now + kSettle, s.hold.usable(now));
    }
  }
}

std::vector<Neighbour> Neighbours::due(TimePoint now) {
  std::vector<Neighbour> due;
  for (auto& [n, s] : all_) {
    if (!asks(s) || now < s.ask) continue;
    s.ask = now + (s.dead ? kAgain : s.every);
    if (!down_.contains(n.interface)) due.push_back(n);
  }
  return due;
}

std::vector<std::pair<Neighbour, bool>> Neighbours::changes(TimePoint now) {
  std::vector<std::pair<Neighbour, bool>> changed;
  for (auto& [n, s] : all_) {
    if ((s.answers && now >= s.hold.usable(*s.answers)) || (s.settles && now >= *s.settles)) {
      s.dead = false;
      s.answers.reset();
      s.settles.reset();
      s.ask = now + s.every;
    }
    if (s.told == !s.dead) continue;
    s.told = !s.dead;
    changed.emplace_back(n, s.told);
  }
  return changed;
}

std::optional<Neighbours::TimePoint> Neighbours::next() const {
  std::optional<TimePoint> next;
  const auto at = [&next](TimePoint t) { next = next ? std::min(*next, t) : t; };
  for (const auto& [n, s] : all_) {
    if (s.told == s.dead) at({});
    if (asks(s)) at(s.ask);
    if (s.answers) at(s.hold.usable(*s.answers));
    if (s.settles) at(*s.settles);
  }
  return next;
}

}  // namespace dvr::kernel
