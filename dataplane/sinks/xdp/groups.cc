#include "sinks/xdp/groups.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "sinks/xdp/buckets.h"

namespace dvr::xdp {
namespace {

std::uint64_t word_of(std::uint64_t action, std::uint64_t reason) {
  return action << DVR_ACTION_SHIFT | reason << DVR_REASON_SHIFT;
}

bool covers(const Prefix& p, const Address& a) {
  if (p.address.family != a.family) return false;
  if (a.family == 4) return Prefix4{p.address.as_v4(), p.length}.contains(a.as_v4());
  return Prefix6{p.address.bits, p.length}.contains(a.bits);
}

std::uint64_t seed_of(const NeighbourKey& key) {
  std::uint64_t h = key.interface * 0x9e3779b97f4a7c15ULL + key.address.family;
  for (const auto part : {static_cast<std::uint64_t>(key.address.bits >> 64),
                          static_cast<std::uint64_t>(key.address.bits)}) {
    h = (h ^ part) * 0xd6e8feb86659fd93ULL;
    h ^= h >> 32;
  }
  return h;
}

bool same(const dvr_nexthop& a, const dvr_nexthop& b) {
  return a.mac0 == b.mac0 && a.mac1 == b.mac1 && a.port == b.port && a.mtu == b.mtu;
}

}  // namespace

Groups::Groups(std::vector<std::string> ports) : ports_(std::move(ports)) {}

void Groups::set(std::uint32_t id, std::span<const NextHop> hops) {
  if (id >= groups_.size()) groups_.resize(id + std::size_t{1});
  Group& g = groups_[id];
  g.known = true;
  g.hops.assign(hops.begin(), hops.end());
  render_group(id);
}

void Groups::release(std::uint32_t id) {
  if (id >= groups_.size() || !groups_[id].known) return;
  groups_[id].known = false;
  groups_[id].hops.clear();
  render_group(id);
  stale_ = true;  // next hops may have lost their last group
}

void Groups::set_link(const LinkFact& link) {
  missed_links_.erase(link.index);
  if (const auto it = links_.find(link.index); it != links_.end()) {
    if (const auto n = names_.find(it->second.name); n != names_.end() && n->second == link.index) {
      names_.erase(n);
    }
    links_.erase(it);
  }
  if (!link.removed) {
    links_[link.index] = link;
    names_[link.name] = link.index;
  }
  stale_ = true;
}

void Groups::set_neighbour(const NeighbourFact& neighbour) {
  missed_neighbours_.erase(neighbour.key);
  NeighbourFact& known = neighbours_[neighbour.key];
  const bool differs = known.state != neighbour.state || known.mac != neighbour.mac;
  known = neighbour;
  if (neighbour.state == NeighbourFact::State::kUnknown) neighbours_.erase(neighbour.key);
  stale_ |= differs;
}

void Groups::begin() {
  missed_links_.clear();
  for (const auto& [index, link] : links_) missed_links_.insert(missed_links_.end(), index);
  missed_neighbours_.clear();
  for (const auto& [key, n] : neighbours_) {
    missed_neighbours_.insert(missed_neighbours_.end(), key);
  }
}

void Groups::end() {
  for (const std::uint32_t index : std::exchange(missed_links_, {})) {
    LinkFact gone = links_.at(index);
    gone.removed = true;
    set_link(gone);
  }
  for (const NeighbourKey& key : std::exchange(missed_neighbours_, {})) {
    set_neighbour({key, NeighbourFact::State::kUnknown, false, {}});
  }
}

void Groups::set_direct(const Prefix& prefix, std::uint32_t interface) {
  const auto it = std::find_if(direct_.begin(), direct_.end(),
                               [&](const Direct& d) { return d.prefix == prefix; });
  if ((it == direct_.end() ? 0 : it->interface) == interface) return;
  if (it == direct_.end()) {
    direct_.push_back({prefix, interface});
  } else if (interface != 0) {
    it->interface = interface;
  } else {
    direct_.erase(it);
  }
  stale_ = true;
}

std::uint32_t Groups::interface_of(const NextHop& hop) const {
  if (!hop.interface.empty()) {
    const auto it = names_.find(hop.interface);
    return it == names_.end() ? 0 : it->second;
  }
  const Direct* best = nullptr;
  for (const Direct& d : direct_) {
    if (covers(d.prefix, hop.address) && (best == nullptr || d.prefix.length > best->prefix.length))
      best = &d;
  }
  return best == nullptr ? 0 : best->interface;
}

std::optional<dvr_nexthop> Groups::nexthop_for(const NeighbourKey& key,
                                               const LinkFact& link) const {
  const auto port = std::find(ports_.begin(), ports_.end(), link.name);
  const auto n = neighbours_.find(key);
  if (port == ports_.end() || !link.ethernet || n == neighbours_.end() ||
      n->second.state != NeighbourFact::State::kResolved) {
    return std::nullopt;
  }
  std::array<std::uint8_t, 12> header;
  std::memcpy(header.data(), n->second.mac.data(), 6);
  std::memcpy(header.data() + 6, link.mac.data(), 6);
  dvr_nexthop out{};
  std::memcpy(&out.mac0, header.data(), 8);
  std::memcpy(&out.mac1, header.data() + 8, 4);
  out.port = static_cast<std::uint32_t>(port - ports_.begin());
  out.mtu = link.mtu;
  return out;
}

std::uint32_t Groups::record(const NeighbourKey& key, const dvr_nexthop& nexthop) {
  Record& r = records_[key];
  if (r.slot != 0 && same(r.nexthop, nexthop)) return r.slot;
  if (memory_.nexthops == nullptr) return kUnresolved;
  const std::uint32_t slot = memory_.slots->allocate();
  if (slot == 0) {
    overflowed_ = true;
    return kUnresolved;
  }
  if (r.slot != 0) {
    replaced_.push_back(r.slot);
    stale_ = true;  // other groups have it, too
  }
  r.slot = slot;
  r.nexthop = nexthop;
  memory_.nexthops[slot] = nexthop;
  return slot;
}

Groups::Way Groups::way_of(const NextHop& hop) {
  const NeighbourKey key{interface_of(hop), hop.address};
  const auto link = links_.find(key.interface);
  if (link == links_.end() || !link->second.up) return {};
  if (link->second.ethernet && hop.address.family != 0) records_[key].used = round_;
  const auto n = neighbours_.find(key);
  Way way;
  way.alive = n == neighbours_.end() || n->second.state != NeighbourFact::State::kFailed;
  way.seed = seed_of(key);
  if (const auto nexthop = nexthop_for(key, link->second)) way.slot = record(key, *nexthop);
  return way;
}

void Groups::drop_buckets(Group& g) {
  if (g.block != Pool::kNone) memory_.pool->retire(g.block, g.order);
  g.block = Pool::kNone;
}

void Groups::publish(std::uint32_t id, Group& g, std::uint64_t word) {
  g.word = word;
  __atomic_store_n(&memory_.words[id + 1], word, __ATOMIC_RELEASE);
}

void Groups::render_group(std::uint32_t id) {
  if (memory_.words == nullptr) return;
  Group& g = groups_[id];
  if (id + std::uint64_t{1} >= memory_.count) {
    overflowed_ |= g.known;
    return;
  }
  std::uint64_t word = word_of(DVR_PASS, DVR_PASS_NO_ROUTE);
  std::vector<std::uint32_t> content;
  std::vector<Member> members;
  if (g.known && g.hops.empty()) {
    word = word_of(DVR_DROP, DVR_DROP_WITHDRAWN);
  } else if (g.known && g.hops.front().type == NextHop::Type::kBlackhole) {
    word = word_of(DVR_DROP, DVR_DROP_BLACKHOLE);
  } else if (g.known && g.hops.front().type != NextHop::Type::kUnicast) {
    word = word_of(DVR_PASS, DVR_PASS_UNREACHABLE);
  } else if (g.known) {
    for (const NextHop& hop : g.hops) {
      const Way way = way_of(hop);
      if (!way.alive) continue;
      members.push_back({way.seed, std::max<std::uint16_t>(1, hop.weight)});
      content.push_back(way.slot);
      content.push_back(hop.weight);
    }
    word = word_of(DVR_PASS, DVR_PASS_UNRESOLVED);
    if (members.size() == 1 && content[0] != kUnresolved) {
      word = word_of(DVR_ONE, 0) | content[0];
    } else if (std::all_of(members.begin(), members.end(), [&](const Member& m) {
                 return content[static_cast<std::size_t>(&m - members.data()) * 2] == kUnresolved;
               })) {
      members.clear();  // all to the kernel
    }
  }
  if (members.size() < 2) {
    if (word == g.word) return;
    publish(id, g, word);
    drop_buckets(g);
    g.content.clear();
    return;
  }
  if (g.block != Pool::kNone && content == g.content) return;
  const int bits = bucket_bits(members.size());
  const int order = Pool::order_of(sizeof(std::uint32_t) << bits);
  const std::uint32_t block = memory_.pool->allocate(order);
  if (block == Pool::kNone) {
    overflowed_ = true;
    publish(id, g, word_of(DVR_PASS, DVR_PASS_UNRESOLVED));
    drop_buckets(g);
    g.content.clear();
    return;
  }
  auto* const buckets = reinterpret_cast<std::uint32_t*>(memory_.pool->at(block));
  const std::vector<std::uint8_t> owners = deal(members, bits);
  for (std::size_t b = 0; b < owners.size(); ++b) buckets[b] = content[owners[b] * std::size_t{2}];
  publish(id, g,
          word_of(DVR_MANY, 0) | static_cast<std::uint64_t>(bits) << DVR_BUCKETS_SHIFT | block);
  drop_buckets(g);
  g.block = block;
  g.order = order;
  g.content = std::move(content);
}

void Groups::refresh() {
  // A next hop that moves is another record: the groups before it are looked at once more.
  for (int pass = 0; stale_ && pass < 2; ++pass) {
    stale_ = false;
    ++round_;
    for (std::uint32_t id = 0; id < groups_.size(); ++id) {
      if (groups_[id].known) render_group(id);
    }
  }
  if (memory_.slots == nullptr) return;
  for (auto it = records_.begin(); it != records_.end();) {
    if (it->second.used == round_) {
      ++it;
      continue;
    }
    if (it->second.slot != 0) replaced_.push_back(it->second.slot);
    it = records_.erase(it);
  }
  for (const std::uint32_t slot : replaced_) memory_.slots->retire(slot);
  replaced_.clear();
}

void Groups::render(const Memory& memory) {
  memory_ = memory;
  overflowed_ = false;
  records_.clear();
  replaced_.clear();
  for (Group& g : groups_) {
    g.word = 0;
    g.block = Pool::kNone;
    g.content.clear();
  }
  stale_ = true;
  refresh();
}

std::vector<NeighbourFact> Groups::wanted() const {
  std::vector<NeighbourFact> out;
  for (const auto& [key, record] : records_) {
    const auto n = neighbours_.find(key);
    out.push_back(n == neighbours_.end() ? NeighbourFact{key, {}, false, {}} : n->second);
  }
  return out;
}

}  // namespace dvr::xdp
