// rtnetlink's messages from and to plain data. Pure: bytes only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sinks/kernel/port.h"

struct nlmsghdr;

namespace dvr::kernel {

// Where our routes are.
struct Place {
  std::uint32_t table = 254;  // main
  std::uint32_t metric = 70;
};

// The longest of these messages: a group of 64.
inline constexpr std::size_t kMostMessage = 1024;

// Each writes one message at `at`, which has kMostMessage bytes, and returns its header.
nlmsghdr* put_member(void* at, std::uint32_t id, const Member& member);
nlmsghdr* put_group(void* at, std::uint32_t id, std::span<const GroupEntry> entries, bool replace);
nlmsghdr* put_nexthop_removal(void* at, std::uint32_t id);
nlmsghdr* put_route(void* at, const RouteOperation& operation, const Place& place);
// Asks which way an address takes.
nlmsghdr* put_way(void* at, const Address& address);
// Has the kernel find out whether a neighbour answers: `known`, one that it has an answer of,
// is asked again, at once.
nlmsghdr* put_probe(void* at, const Neighbour& neighbour, bool known);
// Dumps: of our routes of a family (4, 6), all next hops, all links, all neighbours.
nlmsghdr* put_route_dump(void* at, std::uint8_t family, const Place& place);
nlmsghdr* put_nexthop_dump(void* at);
nlmsghdr* put_link_dump(void* at);
nlmsghdr* put_neighbour_dump(void* at);

// None: another table, family, or kind of message; or malformed.
std::optional<RouteFact> read_route(const nlmsghdr* message, std::uint32_t table);
std::optional<NexthopFact> read_nexthop(const nlmsghdr* message);
std::optional<LinkFact> read_link(const nlmsghdr* message);
// None, too: of a state that says neither.
std::optional<NeighbourFact> read_neighbour(const nlmsghdr* message);
// The interface of an answer to put_way where the address is on its link, no gateway between.
std::optional<std::uint32_t> read_way(const nlmsghdr* message);

}  // namespace dvr::kernel
