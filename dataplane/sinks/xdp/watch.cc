#include "sinks/xdp/watch.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstddef>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>

namespace dvr::xdp {
namespace {

constexpr std::size_t kNewsBytes = std::size_t{8} << 20;
constexpr std::size_t kDumpBytes = std::size_t{1} << 20;
constexpr int kTries = 5;

template <class T>
const T* head(const nlmsghdr* m) {
  if (mnl_nlmsg_get_payload_len(m) < sizeof(T)) return nullptr;
  return static_cast<const T*>(mnl_nlmsg_get_payload(m));
}

// An attribute's value, where it is of that size.
template <class T>
bool get(const nlattr* a, T* to) {
  if (mnl_attr_get_payload_len(a) < sizeof(T)) return false;
  std::memcpy(to, mnl_attr_get_payload(a), sizeof(T));
  return true;
}

// f(attribute) for each behind the message's own header.
template <class F>
void attributes(const nlmsghdr* m, std::size_t header, F f) {
  const auto* a = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(m, header));
  const auto* const end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(m));
  for (; mnl_attr_ok(a, static_cast<int>(end - reinterpret_cast<const char*>(a)));
       a = mnl_attr_next(a)) {
    f(a);
  }
}

std::uint8_t family_of(unsigned system) {
  return system == AF_INET ? 4 : system == AF_INET6 ? 6 : 0;
}

std::optional<Address> address_of(std::uint8_t family, const nlattr* a) {
  const std::size_t size = mnl_attr_get_payload_len(a);
  if (family == 4 && size == 4) {
    std::uint32_t v;
    std::memcpy(&v, mnl_attr_get_payload(a), 4);
    return Address::v4(ntohl(v));
  }
  if (family == 6 && size == 16) return Address::v6(load_u128(mnl_attr_get_payload(a)));
  return std::nullopt;
}

std::optional<LinkFact> read_link(const nlmsghdr* m) {
  const auto* const h = head<ifinfomsg>(m);
  if (h == nullptr || h->ifi_index <= 0 || h->ifi_family != AF_UNSPEC) return std::nullopt;
  LinkFact link;
  link.index = static_cast<std::uint32_t>(h->ifi_index);
  link.removed = m->nlmsg_type == RTM_DELLINK;
  link.up = (h->ifi_flags & IFF_UP) != 0 && (h->ifi_flags & IFF_RUNNING) != 0;
  link.enabled = (h->ifi_flags & IFF_UP) != 0;
  link.ethernet = h->ifi_type == ARPHRD_ETHER;
  attributes(m, sizeof *h, [&](const nlattr* a) {
    switch (mnl_attr_get_type(a)) {
      case IFLA_IFNAME:
        link.name.assign(mnl_attr_get_str(a),
                         ::strnlen(mnl_attr_get_str(a), mnl_attr_get_payload_len(a)));
        break;
      case IFLA_ADDRESS:
        get(a, &link.mac);
        break;
      case IFLA_MTU:
        get(a, &link.mtu);
        break;
      default:
        break;
    }
  });
  return link;
}

std::optional<NeighbourFact> read_neighbour(const nlmsghdr* m) {
  const auto* const h = head<ndmsg>(m);
  if (h == nullptr || family_of(h->ndm_family) == 0 || (h->ndm_flags & NTF_PROXY) != 0) {
    return std::nullopt;
  }
  NeighbourFact n;
  n.key.interface = static_cast<std::uint32_t>(h->ndm_ifindex);
  bool has_mac = false;
  attributes(m, sizeof *h, [&](const nlattr* a) {
    if (mnl_attr_get_type(a) == NDA_DST) {
      if (const auto address = address_of(family_of(h->ndm_family), a)) n.key.address = *address;
    } else if (mnl_attr_get_type(a) == NDA_LLADDR) {
      has_mac = mnl_attr_get_payload_len(a) == n.mac.size() && get(a, &n.mac);
    }
  });
  if (n.key.address.family == 0) return std::nullopt;
  constexpr unsigned kGood = NUD_PERMANENT | NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE;
  using State = NeighbourFact::State;
  if (m->nlmsg_type == RTM_DELNEIGH) {
    n.state = State::kUnknown;
  } else if ((h->ndm_state & kGood) != 0 && has_mac) {
    n.state = State::kResolved;
    n.stale = h->ndm_state == NUD_STALE;
  } else {
    n.state = h->ndm_state == NUD_FAILED ? State::kFailed : State::kUnknown;
  }
  return n;
}

std::optional<RouteFact> read_route(const nlmsghdr* m) {
  const auto* const h = head<rtmsg>(m);
  if (h == nullptr || h->rtm_protocol == kernel::kProtocol || (h->rtm_flags & RTM_F_CLONED) != 0) {
    return std::nullopt;
  }
  const std::uint8_t family = family_of(h->rtm_family);
  if (family == 0 || h->rtm_dst_len > (family == 4 ? 32 : 128)) return std::nullopt;
  RouteFact route;
  route.prefix.address = family == 4 ? Address::v4(0) : Address::v6(0);
  route.prefix.length = h->rtm_dst_len;
  route.removed = m->nlmsg_type == RTM_DELROUTE;
  route.replaces = m->nlmsg_type == RTM_NEWROUTE && (m->nlmsg_flags & NLM_F_REPLACE) != 0;
  route.table = h->rtm_table;
  bool gateway = false, object = false;
  attributes(m, sizeof *h, [&](const nlattr* a) {
    switch (mnl_attr_get_type(a)) {
      case RTA_DST:
        if (const auto address = address_of(family, a)) route.prefix.address = *address;
        break;
      case RTA_TABLE:
        get(a, &route.table);
        break;
      case RTA_PRIORITY:
        get(a, &route.metric);
        break;
      case RTA_OIF:
        get(a, &route.interface);
        break;
      case RTA_GATEWAY:
        if (const auto address = address_of(family, a)) route.gateway = *address;
        gateway = true;
        break;
      case RTA_VIA:
      case RTA_MULTIPATH:
        gateway = true;
        break;
      case RTA_NH_ID:
        object = true;
        break;
      default:
        break;
    }
  });
  // The kernel's tables hold no host bits, but a message may.
  if (family == 4) {
    route.prefix.address.bits &= mask_of<std::uint32_t>(route.prefix.length);
  } else {
    route.prefix.address.bits &= mask_of<u128>(route.prefix.length);
  }
  route.direct = h->rtm_type == RTN_UNICAST && !gateway && !object && route.interface != 0;
  return route;
}

// Drops what concerns our own routes: a full table would overrun the socket.
void leave_ours_out(kernel::NetlinkSocket& socket) {
  constexpr std::uint32_t kType = offsetof(nlmsghdr, nlmsg_type);
  constexpr std::uint32_t kRouteProtocol = NLMSG_HDRLEN + offsetof(rtmsg, rtm_protocol);
  // BPF loads are big-endian: what is compared is turned around.
  sock_filter code[] = {
      {BPF_LD | BPF_H | BPF_ABS, 0, 0, kType},
      {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, htons(RTM_NEWROUTE)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 2, htons(RTM_DELROUTE)},
      {BPF_LD | BPF_B | BPF_ABS, 0, 0, kRouteProtocol},
      {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, kernel::kProtocol},
      {BPF_RET | BPF_K, 0, 0, ~0u},
      {BPF_RET | BPF_K, 0, 0, 0},
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(code)), code};
  socket.set_filter(program);
}

}  // namespace

Watch::Watch(std::uint32_t table, Heard heard)
    : table_(table),
      heard_(std::move(heard)),
      news_(kNewsBytes, {RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE}),
      requests_(std::make_unique<kernel::NetlinkSocket>(kDumpBytes)) {
  leave_ours_out(news_);
}

void Watch::tell(const nlmsghdr* m) {
  switch (m->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      if (const auto link = read_link(m)) heard_.link(*link);
      break;
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      if (const auto neighbour = read_neighbour(m)) heard_.neighbour(*neighbour);
      break;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      if (const auto route = read_route(m)) {
        if (route->table == table_ ||
            (route->table >= RT_TABLE_DEFAULT && route->table <= RT_TABLE_LOCAL)) {
          heard_.route(*route);
        }
      }
      break;
    default:
      break;
  }
}

// A dump that was not read to its end goes on in the kernel, which refuses another on the same
// socket: after a failure there is a new one.
bool Watch::dump(std::uint16_t type, std::uint8_t family) {
  if (try_dump(type, family)) return true;
  try {
    requests_ = std::make_unique<kernel::NetlinkSocket>(kDumpBytes);
  } catch (const std::system_error&) {
    // The old one may do next time.
  }
  return false;
}

bool Watch::try_dump(std::uint16_t type, std::uint8_t family) {
  for (int i = 0; i < kTries; ++i) {
    alignas(nlmsghdr) char bytes[256] = {};
    nlmsghdr* const m = mnl_nlmsg_put_header(bytes);
    m->nlmsg_type = type;
    if (type == RTM_GETLINK) {
      mnl_nlmsg_put_extra_header(m, sizeof(ifinfomsg));
    } else if (type == RTM_GETNEIGH) {
      mnl_nlmsg_put_extra_header(m, sizeof(ndmsg));
    } else {
      static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(m, sizeof(rtmsg)))->rtm_family = family;
    }
    if (!requests_->dump(m).ok()) return false;
    using Dump = kernel::NetlinkSocket::Dump;
    Dump state;
    do {
      state = requests_->dumped([this](const nlmsghdr* answer) { tell(answer); });
    } while (state == Dump::kMore);
    if (state != Dump::kInterrupted) return state == Dump::kDone;
  }
  // It changes all the time: what it misses is among the news.
  sound_ = false;
  return true;
}

bool Watch::read_links_and_neighbours() { return dump(RTM_GETLINK, 0) && dump(RTM_GETNEIGH, 0); }

bool Watch::read_all() {
  sound_ = true;
  return read_links_and_neighbours() && dump(RTM_GETROUTE, AF_INET) && dump(RTM_GETROUTE, AF_INET6);
}

bool Watch::listen() {
  // The kernel tells of a loss before what it had kept, and keeps nothing more until that is read.
  for (bool whole = true;;) {
    const int n = news_.notifications([this](const nlmsghdr* m) { tell(m); });
    whole &= n >= 0;
    if (n == 0) return whole;
  }
}

void Watch::use(const NeighbourKey& key) {
  alignas(nlmsghdr) char bytes[256] = {};
  nlmsghdr* const m = mnl_nlmsg_put_header(bytes);
  m->nlmsg_type = RTM_NEWNEIGH;
  m->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
  auto* const h = static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(m, sizeof(ndmsg)));
  h->ndm_family = key.address.family == 4 ? AF_INET : AF_INET6;
  h->ndm_ifindex = static_cast<int>(key.interface);
  h->ndm_flags = NTF_USE;
  if (key.address.family == 4) {
    mnl_attr_put_u32(m, NDA_DST, htonl(key.address.as_v4()));
  } else {
    std::uint8_t address[16];
    store_u128(key.address.bits, address);
    mnl_attr_put(m, NDA_DST, sizeof address, address);
  }
  (void)requests_->request(m);
}

}  // namespace dvr::xdp
