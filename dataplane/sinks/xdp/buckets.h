// How a group's buckets are dealt to its members.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dvr::xdp {

struct Member {
  std::uint64_t seed = 0;  // names it: equal in every deal
  std::uint16_t weight = 1;
};

// log2 of the buckets of a group of so many members, at least 2: 6 ... 11.
int bucket_bits(std::size_t members);

// The index of a member for each of 2^bits buckets. Every member has its share by weight, rounded,
// and at least one. Most buckets are the choice of weighted rendezvous hashing, so a member that
// comes or goes moves what it gains or loses and few others; the order of members is of no
// consequence but for ties. Cost: buckets times members.
std::vector<std::uint8_t> deal(std::span<const Member> members, int bits);

}  // namespace dvr::xdp
