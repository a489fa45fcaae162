#include "sinks/kernel/rtnetlink.h"

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#include <cstddef>
#include <cstring>

namespace dvr::kernel {
namespace {

// GroupLine is struct nexthop_grp of <linux/nexthop.h>, in which the upper half
// of the weight has had a name only since Linux 6.12.
struct GroupLine {
  std::uint32_t id;
  std::uint8_t weight;  // less one
  std::uint8_t weight_high;
  std::uint16_t reserved;
};
static_assert(sizeof(GroupLine) == sizeof(nexthop_grp));
static_assert(offsetof(GroupLine, weight) == offsetof(nexthop_grp, weight));

constexpr std::uint8_t kUniverse = RT_SCOPE_UNIVERSE;

std::uint8_t system_family(std::uint8_t family) { return family == 4 ? AF_INET : AF_INET6; }

template <class T>
T* extra(nlmsghdr* m) {
  return static_cast<T*>(mnl_nlmsg_put_extra_header(m, sizeof(T)));
}

void put_address(nlmsghdr* m, std::uint16_t type, const Address& address) {
  const std::string bytes = to_bytes(address);
  mnl_attr_put(m, type, bytes.size(), bytes.data());
}

// f(type, attribute) for every attribute behind a header of type T.
template <class T, class F>
void each_attribute(const nlmsghdr* m, F f) {
  const auto* at = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(m, sizeof(T)));
  const auto* const end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(m));
  for (; mnl_attr_ok(at, static_cast<int>(end - reinterpret_cast<const char*>(at)));
       at = mnl_attr_next(at)) {
    f(mnl_attr_get_type(at), at);
  }
}

std::optional<Address> address_of(const nlattr* attribute) {
  return address_from_bytes({static_cast<const char*>(mnl_attr_get_payload(attribute)),
                             mnl_attr_get_payload_len(attribute)});
}

std::uint32_t u32_of(const nlattr* attribute) {
  return mnl_attr_get_payload_len(attribute) == 4 ? mnl_attr_get_u32(attribute) : 0;
}

bool holds(const nlmsghdr* m, std::size_t header) { return m->nlmsg_len >= mnl_nlmsg_size(header); }

RouteType type_of(std::uint8_t type) {
  switch (type) {
    case RTN_UNICAST:
    case RTN_BLACKHOLE:
      return RouteType::kGroup;
    case RTN_UNREACHABLE:
      return RouteType::kUnreachable;
    case RTN_PROHIBIT:
      return RouteType::kProhibit;
    default:
      return RouteType::kOther;
  }
}

}  // namespace

nlmsghdr* put_member(void* at, std::uint32_t id, const Member& member) {
  nlmsghdr* const m = mnl_nlmsg_put_header(at);
  m->nlmsg_type = RTM_NEWNEXTHOP;
  m->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
  auto* const h = extra<nhmsg>(m);
  h->nh_family = system_family(member.gateway.family != 0 ? member.gateway.family : member.family);
  h->nh_protocol = kProtocol;
  mnl_attr_put_u32(m, NHA_ID, id);
  if (member.blackhole) {
    mnl_attr_put(m, NHA_BLACKHOLE, 0, nullptr);
    return m;
  }
  mnl_attr_put_u32(m, NHA_OIF, member.interface);
  if (member.gateway.family != 0) {
    // A next hop is on the link of its interface, whatever the interface's networks.
    h->nh_flags = RTNH_F_ONLINK;
    put_address(m, NHA_GATEWAY, member.gateway);
  }
  return m;
}

nlmsghdr* put_group(void* at, std::uint32_t id, std::span<const GroupEntry> entries, bool replace) {
  nlmsghdr* const m = mnl_nlmsg_put_header(at);
  m->nlmsg_type = RTM_NEWNEXTHOP;
  m->nlmsg_flags = static_cast<std::uint16_t>(replace ? NLM_F_REPLACE : NLM_F_CREATE | NLM_F_EXCL);
  auto* const h = extra<nhmsg>(m);
  h->nh_family = AF_UNSPEC;
  h->nh_protocol = kProtocol;
  mnl_attr_put_u32(m, NHA_ID, id);
  std::vector<GroupLine> group(entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    group[i].id = entries[i].member;
    const unsigned weight = entries[i].weight - 1u;
    group[i].weight = static_cast<std::uint8_t>(weight);
    group[i].weight_high = static_cast<std::uint8_t>(weight >> 8);
  }
  mnl_attr_put(m, NHA_GROUP, group.size() * sizeof(GroupLine), group.data());
  return m;
}

nlmsghdr* put_nexthop_removal(void* at, std::uint32_t id) {
  nlmsghdr* const m = mnl_nlmsg_put_header(at);
  m->nlmsg_type = RTM_DELNEXTHOP;
  extra<nhmsg>(m);
  mnl_attr_put_u32(m, NHA_ID, id);
  return m;
}

nlmsghdr* put_route(void* at, const RouteOperation& operation, const Place& place) {
  using Kind = RouteOperation::Kind;
  nlmsghdr* const m = mnl_nlmsg_put_header(at);
  m->nlmsg_type = operation.kind == Kind::kDelete ? RTM_DELROUTE : RTM_NEWROUTE;
  if (operation.kind == Kind::kAdd) m->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
  if (operation.kind == Kind::kReplace) m->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
  auto* const h = extra<rtmsg>(m);
  const Prefix& p = operation.prefix;
  h->rtm_family = system_family(p.address.family);
  h->rtm_dst_len = p.length;
  h->rtm_table = static_cast<std::uint8_t>(place.table < 256 ? place.table : RT_TABLE_COMPAT);
  h->rtm_protocol = kProtocol;
  // Deleting: any scope and type, but our protocol, metric and table.
  h->rtm_scope = operation.kind == Kind::kDelete ? std::uint8_t{RT_SCOPE_NOWHERE} : kUniverse;
  if (operation.kind != Kind::kDelete) {
    switch (operation.type) {
      case RouteType::kUnreachable:
        h->rtm_type = RTN_UNREACHABLE;
        break;
      case RouteType::kProhibit:
        h->rtm_type = RTN_PROHIBIT;
        break;
      default:
        h->rtm_type = RTN_UNICAST;
    }
  }
  if (p.address.family == 4) {
    mnl_attr_put_u32(m, RTA_DST, __builtin_bswap32(p.address.as_v4()));
  } else {
    char bytes[16];
    store_u128(p.address.bits, bytes);
    mnl_attr_put(m, RTA_DST, sizeof bytes, bytes);
  }
  mnl_attr_put_u32(m, RTA_PRIORITY, operation.metric != 0 ? operation.metric : place.metric);
  if (place.table >= 256) mnl_attr_put_u32(m, RTA_TABLE, place.table);
  if (operation.kind != Kind::kDelete && operation.type == RouteType::kGroup) {
    mnl_attr_put_u32(m, RTA_NH_ID, operation.group);
  }
  return m;
}

nlmsghdr* put_way(void* at, const Address& address) {
  nlmsghdr* const m = mnl_nlmsg_put_header(at);
  m->nlmsg_type = RTM_GETROUTE;
  auto* const h = extra<rtmsg>(m);
  h->rtm_family = system_family(address.family);
  h->rtm_dst_len = address.family == 4 ? 32 : 128;
  put_address(m, RTA_DST, address);
  return m;
}

nlmsghdr* put_route_dump(void* at, std::uint8_t family, const Place& place) {
  nlmsghdr* const m = mnl_nlmsg_put_header(at);
  m->nlmsg_type = RTM_GETROUTE;
  auto* const h = extra<rtmsg>(m);
  h->rtm_family = system_family(family);
  h->rtm_protocol = kProtocol;
  mnl_attr_put_u32(m, RTA_TABLE, place.table);
  return m;
}

nlmsghdr* put_nexthop_dump(void* at) {
  nlmsghdr* const m = mnl_nlmsg_put_header(at);
  m->nlmsg_type = RTM_GETNEXTHOP;
  extra<nhmsg>(m);
  return m;
}

nlmsghdr* put_link_dump(void* at) {
  nlmsghdr* const m = mnl_nlmsg_put_header(at);
  m->nlmsg_type = RTM_GETLINK;
  extra<ifinfomsg>(m);
  return m;
}

std::optional<RouteFact> read_route(const nlmsghdr* m, std::uint32_t table) {
  if ((m->nlmsg_type != RTM_NEWROUTE && m->nlmsg_type != RTM_DELROUTE) || !holds(m, sizeof(rtmsg)))
    return std::nullopt;
  const auto* const h = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(m));
  const bool four = h->rtm_family == AF_INET;
  if ((!four && h->rtm_family != AF_INET6) || (h->rtm_flags & RTM_F_CLONED) != 0 ||
      h->rtm_dst_len > (four ? 32 : 128) || h->rtm_tos != 0 || h->rtm_src_len != 0) {
    return std::nullopt;
  }
  RouteFact route;
  route.prefix.address = four ? Address::v4(0) : Address::v6(0);
  route.prefix.length = h->rtm_dst_len;
  route.protocol = h->rtm_protocol;
  route.type = type_of(h->rtm_type);
  std::uint32_t in = h->rtm_table;
  bool sound = true;
  each_attribute<rtmsg>(m, [&](std::uint16_t type, const nlattr* a) {
    if (type == RTA_DST) {
      const std::optional<Address> address = address_of(a);
      sound = address && address->family == route.prefix.address.family;
      if (sound) route.prefix.address = *address;
    } else if (type == RTA_PRIORITY) {
      route.metric = u32_of(a);
    } else if (type == RTA_TABLE) {
      in = u32_of(a);
    } else if (type == RTA_NH_ID) {
      route.group = u32_of(a);
    }
  });
  if (!sound || in != table) return std::nullopt;
  // A route that is blackhole by itself, and not by its group, is not as ours are.
  if (route.type == RouteType::kGroup && route.group == 0) route.type = RouteType::kOther;
  return route;
}

std::optional<NexthopFact> read_nexthop(const nlmsghdr* m) {
  if (m->nlmsg_type != RTM_NEWNEXTHOP || !holds(m, sizeof(nhmsg))) return std::nullopt;
  const auto* const h = static_cast<const nhmsg*>(mnl_nlmsg_get_payload(m));
  NexthopFact fact;
  fact.protocol = h->nh_protocol;
  fact.member.family = h->nh_family == AF_INET ? 4 : 6;
  bool sound = true;
  each_attribute<nhmsg>(m, [&](std::uint16_t type, const nlattr* a) {
    switch (type) {
      case NHA_ID:
        fact.id = u32_of(a);
        break;
      case NHA_BLACKHOLE:
        fact.member.blackhole = true;
        break;
      case NHA_OIF:
        fact.member.interface = u32_of(a);
        break;
      case NHA_GATEWAY: {
        const std::optional<Address> address = address_of(a);
        sound = sound && address.has_value();
        if (address) fact.member.gateway = *address;
        break;
      }
      case NHA_GROUP: {
        fact.group = true;
        const std::size_t n = mnl_attr_get_payload_len(a) / sizeof(GroupLine);
        const auto* const bytes = static_cast<const char*>(mnl_attr_get_payload(a));
        for (std::size_t i = 0; i < n; ++i) {
          GroupLine entry;
          std::memcpy(&entry, bytes + i * sizeof entry, sizeof entry);
          const unsigned weight = entry.weight + (unsigned{entry.weight_high} << 8) + 1;
          fact.entries.push_back({entry.id, static_cast<std::uint16_t>(weight)});
        }
        break;
      }
      default:
        break;
    }
  });
  if (!sound || fact.id == 0) return std::nullopt;
  if (fact.member.blackhole) fact.member.interface = 0;  // the kernel may name lo
  return fact;
}

std::optional<LinkFact> read_link(const nlmsghdr* m) {
  if ((m->nlmsg_type != RTM_NEWLINK && m->nlmsg_type != RTM_DELLINK) ||
      !holds(m, sizeof(ifinfomsg)))
    return std::nullopt;
  const auto* const h = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(m));
  if (h->ifi_family != AF_UNSPEC || h->ifi_index <= 0) return std::nullopt;  // of bridge ports
  LinkFact link;
  link.index = static_cast<std::uint32_t>(h->ifi_index);
  link.gone = m->nlmsg_type == RTM_DELLINK;
  constexpr unsigned kNeeded = IFF_UP | IFF_LOWER_UP;
  link.usable = !link.gone && (h->ifi_flags & kNeeded) == kNeeded;
  each_attribute<ifinfomsg>(m, [&](std::uint16_t type, const nlattr* a) {
    if (type == IFLA_IFNAME && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0)
      link.name = mnl_attr_get_str(a);
  });
  return link;
}

nlmsghdr* put_probe(void* at, const Neighbour& neighbour, bool known) {
  nlmsghdr* const m = mnl_nlmsg_put_header(at);
  m->nlmsg_type = RTM_NEWNEIGH;
  auto* const h = extra<ndmsg>(m);
  h->ndm_family = system_family(neighbour.address.family);
  h->ndm_ifindex = static_cast<std::int32_t>(neighbour.interface);
  if (known) {
    m->nlmsg_flags = NLM_F_REPLACE;
    h->ndm_state = NUD_PROBE;
  } else {
    m->nlmsg_flags = NLM_F_CREATE;
    h->ndm_state = NUD_NONE;
    h->ndm_flags = NTF_USE;  // as a packet to it would
  }
  put_address(m, NDA_DST, neighbour.address);
  return m;
}

nlmsghdr* put_neighbour_dump(void* at) {
  nlmsghdr* const m = mnl_nlmsg_put_header(at);
  m->nlmsg_type = RTM_GETNEIGH;
  extra<ndmsg>(m);
  return m;
}

std::optional<NeighbourFact> read_neighbour(const nlmsghdr* m) {
  if (m->nlmsg_type != RTM_NEWNEIGH || !holds(m, sizeof(ndmsg))) return std::nullopt;
  const auto* const h = static_cast<const ndmsg*>(mnl_nlmsg_get_payload(m));
  if ((h->ndm_family != AF_INET && h->ndm_family != AF_INET6) || h->ndm_ifindex <= 0)
    return std::nullopt;
  NeighbourFact fact;
  if ((h->ndm_state & NUD_FAILED) != 0) {
    fact.state = NeighbourFact::State::kFailed;
  } else if ((h->ndm_state & (NUD_PERMANENT | NUD_NOARP)) != 0) {
    fact.state = NeighbourFact::State::kFixed;
  } else if ((h->ndm_state & NUD_REACHABLE) == 0) {
    return std::nullopt;
  }
  fact.neighbour.interface = static_cast<std::uint32_t>(h->ndm_ifindex);
  each_attribute<ndmsg>(m, [&](std::uint16_t type, const nlattr* a) {
    if (type != NDA_DST) return;
    if (const std::optional<Address> address = address_of(a)) fact.neighbour.address = *address;
  });
  if (fact.neighbour.address.family == 0) return std::nullopt;
  return fact;
}

std::optional<std::uint32_t> read_way(const nlmsghdr* m) {
  if (m->nlmsg_type != RTM_NEWROUTE || !holds(m, sizeof(rtmsg))) return std::nullopt;
  const auto* const h = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(m));
  if (h->rtm_type != RTN_UNICAST) return std::nullopt;
  std::uint32_t interface = 0;
  bool direct = true;
  each_attribute<rtmsg>(m, [&](std::uint16_t type, const nlattr* a) {
    if (type == RTA_OIF) interface = u32_of(a);
    if (type == RTA_GATEWAY || type == RTA_VIA) direct = false;
  });
  if (!direct || interface == 0) return std::nullopt;
  return interface;
}

}  // namespace dvr::kernel
