// Next-hop groups.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lib/prefix.h"

namespace dvr {

// NextHop is one member of a group.
struct NextHop {
  enum class Type : std::uint8_t { kUnicast = 0, kBlackhole = 1, kUnreachable = 2, kProhibit = 3 };

  Type type = Type::kUnicast;
  Address address;           // family 0: none
  std::string interface;     // at most 255 bytes; empty: not given
  std::uint16_t weight = 1;  // 1..65,535
  std::string via;           // neighbouring router, at most 255 bytes; empty: an own next hop

  friend bool operator==(const NextHop&, const NextHop&) = default;
};

inline constexpr std::size_t kMaxNextHops = 64;

// The bytes of a hop in a group item (decision 3), appended to `out`.
void append_hop_bytes(const NextHop& hop, std::string* out);

// Makes a group of next hops in any order (decision 3): of several types the
// lowest stays, equals but for the weight are merged (sum at most 65,535), then
// sorted by their bytes, the first kMaxNextHops stay.
void canonicalize(std::vector<NextHop>* hops);

// The index of the hop that carries a flow. Weighted rendezvous hashing: hops
// take flows in proportion to their weights, and a hop that comes or goes
// moves only the flows it gains or loses, whatever the order of hops. `hops`
// must not be empty. Cost: O(hops), nothing for one.
std::size_t choose_hop(std::span<const NextHop> hops, std::uint64_t flow_hash);

}  // namespace dvr
