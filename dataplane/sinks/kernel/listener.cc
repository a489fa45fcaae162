#include "sinks/kernel/listener.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cstddef>
#include <fstream>
#include <optional>
#include <utility>
#include <vector>

namespace dvr::kernel {
namespace {

// Positions in a message. BPF loads are big-endian: what is compared is turned around.
constexpr std::uint32_t kType = offsetof(nlmsghdr, nlmsg_type);
constexpr std::uint32_t kFlags = offsetof(nlmsghdr, nlmsg_flags);
constexpr std::uint32_t kPort = offsetof(nlmsghdr, nlmsg_pid);
constexpr std::uint32_t kRouteProtocol = NLMSG_HDRLEN + offsetof(rtmsg, rtm_protocol);
constexpr std::uint32_t kNexthopProtocol = NLMSG_HDRLEN + 2;  // nhmsg.nh_protocol
constexpr std::uint32_t kNeighbourState = NLMSG_HDRLEN + offsetof(ndmsg, ndm_state);
constexpr std::uint32_t kRouteAttributes = NLMSG_HDRLEN + sizeof(rtmsg);

// Linux's largest pid_max.
constexpr std::uint32_t kMostProcesses = 1u << 22;

// A classic BPF program with named targets.
class Program {
 public:
  enum Label : std::uint8_t {
    kNext,
    kAccept,
    kDrop,
    kRemoved,
    kReplaced,
    kNexthop,
    kNeighbour,
    kForeign,
    kLabels
  };

  void step(int code, std::uint32_t k) {
    code_.push_back({static_cast<std::uint16_t>(code), 0, 0, k});
  }
  // Jumps are resolved by finish(): until then jt and jf are labels.
  void jump(int test, std::uint32_t k, Label yes, Label no) {
    code_.push_back({static_cast<std::uint16_t>(BPF_JMP | BPF_K | test), yes, no, k});
  }
  void place(Label label) { at_[label] = code_.size(); }

  std::vector<sock_filter> finish() {
    for (std::size_t i = 0; i < code_.size(); ++i) {
      if (BPF_CLASS(code_[i].code) != BPF_JMP) continue;
      const auto distance = [&](std::uint8_t label) {
        return static_cast<std::uint8_t>(label == kNext ? 0 : at_[label] - i - 1);
      };
      code_[i].jt = distance(code_[i].jt);
      code_[i].jf = distance(code_[i].jf);
    }
    return code_;
  }

 private:
  std::vector<sock_filter> code_;
  std::array<std::size_t, kLabels> at_{};
};

std::vector<sock_filter> filter(std::uint32_t own, std::uint32_t metric) {
  using P = Program;
  P p;
  p.step(BPF_LD | BPF_H | BPF_ABS, kType);
  p.jump(BPF_JEQ, htons(RTM_NEWNEIGH), P::kNeighbour, P::kNext);
  p.jump(BPF_JEQ, htons(RTM_DELNEIGH), P::kDrop, P::kNext);
  p.step(BPF_LD | BPF_W | BPF_ABS, kPort);
  p.jump(BPF_JEQ, htonl(own), P::kDrop, P::kNext);
  p.step(BPF_LD | BPF_H | BPF_ABS, kType);
  p.jump(BPF_JEQ, htons(RTM_DELROUTE), P::kRemoved, P::kNext);
  p.jump(BPF_JEQ, htons(RTM_NEWROUTE), P::kReplaced, P::kNext);
  p.jump(BPF_JEQ, htons(RTM_NEWNEXTHOP), P::kNexthop, P::kNext);
  p.jump(BPF_JEQ, htons(RTM_DELNEXTHOP), P::kNexthop, P::kAccept);  // links, addresses
  // One of ours was removed, not by the kernel itself.
  p.place(P::kRemoved);
  p.step(BPF_LD | BPF_W | BPF_ABS, kPort);
  p.jump(BPF_JEQ, 0, P::kDrop, P::kNext);
  p.step(BPF_LD | BPF_B | BPF_ABS, kRouteProtocol);
  p.jump(BPF_JEQ, kProtocol, P::kAccept, P::kDrop);
  // One came into the place of another with our metric. Without RTA_PRIORITY the extension
  // finds 0, and what is compared then are the message's type and flags, which are no metric.
  p.place(P::kReplaced);
  p.step(BPF_LD | BPF_H | BPF_ABS, kFlags);
  p.jump(BPF_JSET, htons(NLM_F_REPLACE), P::kNext, P::kDrop);
  p.step(BPF_LD | BPF_IMM, kRouteAttributes);
  p.step(BPF_LDX | BPF_IMM, RTA_PRIORITY);
  p.step(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_NLATTR));
  p.step(BPF_MISC | BPF_TAX, 0);
  p.step(BPF_LD | BPF_W | BPF_IND, NLA_HDRLEN);
  p.jump(BPF_JEQ, htonl(metric), P::kAccept, P::kDrop);
  // Ours, or another program's that took the place of one.
  p.place(P::kNexthop);
  p.step(BPF_LD | BPF_B | BPF_ABS, kNexthopProtocol);
  p.jump(BPF_JEQ, kProtocol, P::kAccept, P::kNext);
  p.step(BPF_LD | BPF_H | BPF_ABS, kFlags);
  p.jump(BPF_JSET, htons(NLM_F_REPLACE), P::kAccept, P::kDrop);
  // One that answers or failed to, whoever had it asked.
  p.place(P::kNeighbour);
  p.step(BPF_LD | BPF_H | BPF_ABS, kNeighbourState);
  p.jump(BPF_JSET, htons(NUD_FAILED | NUD_REACHABLE | NUD_PERMANENT | NUD_NOARP), P::kAccept,
         P::kDrop);
  p.place(P::kDrop);
  p.step(BPF_RET | BPF_K, 0);
  p.place(P::kAccept);
  p.step(BPF_RET | BPF_K, 0xffffffff);
  return p.finish();
}

}  // namespace

Listener::Listener(const Place& place, std::uint32_t own, std::size_t receive_bytes)
    : place_(place),
      socket_(receive_bytes,
              {RTNLGRP_LINK, RTNLGRP_NEXTHOP, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
               RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_NEIGH}) {
  std::vector<sock_filter> code = filter(own, place.metric);
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  socket_.set_filter(program);
}

Listener::State Listener::read(std::size_t most, const std::function<void(const News&)>& f) {
  const auto take = [&](const nlmsghdr* m) {
    News news;
    news.by = m->nlmsg_pid;
    switch (m->nlmsg_type) {
      case RTM_NEWROUTE:
      case RTM_DELROUTE: {
        const std::optional<RouteFact> route = read_route(m, place_.table);
        if (!route) return;
        news.kind =
            m->nlmsg_type == RTM_DELROUTE ? News::Kind::kRouteRemoved : News::Kind::kRouteReplaced;
        news.route = *route;
        break;
      }
      case RTM_NEWNEXTHOP:
      case RTM_DELNEXTHOP:
        news.kind = News::Kind::kNexthops;
        break;
      case RTM_NEWLINK:
      case RTM_DELLINK: {
        std::optional<LinkFact> link = read_link(m);
        if (!link) return;
        news.kind = News::Kind::kLink;
        news.link = std::move(*link);
        break;
      }
      case RTM_NEWNEIGH: {
        const std::optional<NeighbourFact> neighbour = read_neighbour(m);
        if (!neighbour) return;
        news.kind = News::Kind::kNeighbour;
        news.neighbour = *neighbour;
        break;
      }
      case RTM_NEWADDR:
      case RTM_DELADDR:
        news.kind = News::Kind::kAddresses;
        break;
      default:
        return;
    }
    f(news);
  };
  for (std::size_t i = 0; i < most; ++i) {
    const int n = socket_.notifications(take);
    lost_ |= n < 0;
    if (n == 0) return std::exchange(lost_, false) ? State::kOverrun : State::kEmpty;
  }
  return State::kMore;
}

std::string printable(std::string name) {
  for (char& c : name) {
    if (c < ' ' || c > '~') c = '?';
  }
  return name;
}

std::string culprit(std::uint32_t port) {
  if (port == 0) return "the kernel";
  // A process's second socket, and on, has a number that is no process's.
  if (port > kMostProcesses) return "another process (netlink port " + std::to_string(port) + ")";
  std::ifstream comm("/proc/" + std::to_string(port) + "/comm");
  std::string name;
  if (std::getline(comm, name))
    return "process " + std::to_string(port) + " (" + printable(name) + ")";
  return "process " + std::to_string(port) + ", which has ended";
}

}  // namespace dvr::kernel
