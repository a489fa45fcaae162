// What is around the router, as the kernel knows it: links, neighbours, and routes that
// are not ours. Plain data.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <tuple>

#include "lib/prefix.h"

namespace dvr::xdp {

using Mac = std::array<std::uint8_t, 6>;

struct LinkFact {
  std::uint32_t index = 0;
  bool removed = false;
  std::string name;
  bool up = false;        // administratively, and it has a carrier
  bool ethernet = false;  // else it has no MAC addresses that could be written
  Mac mac{};
  std::uint32_t mtu = 0;
  bool enabled = false;  // administratively up
};

// A neighbour's address on a link.
struct NeighbourKey {
  std::uint32_t interface = 0;
  Address address;

  friend bool operator==(const NeighbourKey&, const NeighbourKey&) = default;
  friend bool operator<(const NeighbourKey& a, const NeighbourKey& b) {
    return std::tie(a.interface, a.address.family, a.address.bits) <
           std::tie(b.interface, b.address.family, b.address.bits);
  }
};

struct NeighbourFact {
  enum class State : std::uint8_t { kUnknown, kResolved, kFailed };
  NeighbourKey key;
  State state = State::kUnknown;
  bool stale = false;  // resolved, but nobody has heard of it for a while
  Mac mac{};
};

struct RouteFact {
  Prefix prefix;
  bool removed = false;
  std::uint32_t table = 0;
  std::uint32_t metric = 0;
  std::uint32_t interface = 0;  // 0: none, or several
  Address gateway;
  bool direct = false;  // a unicast route without gateway: who is in it is on the link
  // It took the place of one of the same prefix, table and metric, of which nothing more is said.
  bool replaces = false;
};

}  // namespace dvr::xdp
