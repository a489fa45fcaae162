#include "sinks/kernel/netlink_port.h"

#include <linux/netlink.h>
#include <sys/utsname.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

namespace dvr::kernel {
namespace {

// Errors of a whole batch fit, should each route fail.
constexpr std::size_t kReceiveBytes = std::size_t{16} << 20;
constexpr std::size_t kBatchBytes = std::size_t{256} << 10;

}  // namespace

NetlinkPort::NetlinkPort(const Place& place)
    : place_(place),
      socket_(kReceiveBytes),
      dumps_(kReceiveBytes),
      batch_(kBatchBytes + kMostMessage) {}

Outcome NetlinkPort::counted(Outcome outcome, std::uint64_t* done) {
  ++(outcome.ok() ? *done : count_.refused);
  return outcome;
}

Outcome NetlinkPort::add_member(std::uint32_t id, const Member& member) {
  return counted(socket_.request(put_member(batch_.data(), id, member)), &count_.nexthops_added);
}

Outcome NetlinkPort::set_group(std::uint32_t id, std::span<const GroupEntry> entries,
                               bool replace) {
  return counted(socket_.request(put_group(batch_.data(), id, entries, replace)),
                 &count_.groups_set);
}

Outcome NetlinkPort::remove_nexthop(std::uint32_t id) {
  Outcome outcome = socket_.request(put_nexthop_removal(batch_.data(), id));
  if (outcome.error == ENOENT) return outcome;  // gone already
  return counted(std::move(outcome), &count_.nexthops_removed);
}

void NetlinkPort::routes(std::span<const RouteOperation> operations,
                         std::vector<RouteFailure>* failed) {
  const std::size_t failed_before = failed->size();
  const auto of = [this](RouteOperation::Kind kind) -> std::uint64_t& {
    return kind == RouteOperation::Kind::kAdd       ? count_.routes_added
           : kind == RouteOperation::Kind::kReplace ? count_.routes_replaced
                                                    : count_.routes_removed;
  };
  for (const RouteOperation& op : operations) ++of(op.kind);
  std::size_t first = 0, used = 0;
  const auto send = [&](std::size_t end) {
    if (used == 0) return;
    const std::size_t known = failed->size();
    const Outcome all = socket_.batch(batch_.data(), used, [&](std::size_t index, Outcome outcome) {
      failed->push_back({first + index, std::move(outcome)});
    });
    // Nobody knows which were done: an audit will.
    if (!all.ok()) {
      failed->resize(known);
      for (std::size_t i = first; i < end; ++i) failed->push_back({i, all});
    }
    first = end;
    used = 0;
  };
  for (std::size_t i = 0; i < operations.size(); ++i) {
    used += put_route(batch_.data() + used, operations[i], place_)->nlmsg_len;
    if (used > kBatchBytes) send(i + 1);
  }
  send(operations.size());
  for (std::size_t i = failed_before; i < failed->size(); ++i) {
    --of(operations[(*failed)[i].index].kind);
    ++count_.refused;
  }
}

std::optional<std::uint32_t> NetlinkPort::interface_of(const Address& gateway) {
  std::optional<std::uint32_t> interface;
  const Outcome outcome = socket_.request(put_way(batch_.data(), gateway),
                                          [&](const nlmsghdr* m) { interface = read_way(m); });
  return outcome.ok() ? interface : std::nullopt;
}

template <class Fact, class Read>
std::optional<std::vector<Fact>> NetlinkPort::all(nlmsghdr* request, Read read) {
  constexpr int kTries = 5;  // the kernel tells when its list changed meanwhile
  for (int i = 0; i < kTries; ++i) {
    std::vector<Fact> facts;
    if (!dumps_.dump(request).ok()) return std::nullopt;
    for (;;) {
      const auto state = dumps_.dumped([&](const nlmsghdr* m) {
        if (auto fact = read(m)) facts.push_back(std::move(*fact));
      });
      if (state == NetlinkSocket::Dump::kMore) continue;
      if (state == NetlinkSocket::Dump::kFailed) return std::nullopt;
      if (state == NetlinkSocket::Dump::kDone) return facts;
      break;
    }
  }
  return std::nullopt;
}

std::optional<std::vector<NexthopFact>> NetlinkPort::nexthops() {
  alignas(nlmsghdr) char request[kMostMessage];
  return all<NexthopFact>(put_nexthop_dump(request), read_nexthop);
}

std::optional<std::vector<LinkFact>> NetlinkPort::links() {
  alignas(nlmsghdr) char request[kMostMessage];
  return all<LinkFact>(put_link_dump(request), read_link);
}

std::optional<std::vector<NeighbourFact>> NetlinkPort::neighbours() {
  alignas(nlmsghdr) char request[kMostMessage];
  return all<NeighbourFact>(put_neighbour_dump(request), read_neighbour);
}

void NetlinkPort::probe(const Neighbour& neighbour) {
  // One whose answer it has is asked again; of one that it has not, or that failed, the kernel
  // knows nothing to ask, and begins anew.
  if (socket_.request(put_probe(batch_.data(), neighbour, true)).ok()) return;
  socket_.request(put_probe(batch_.data(), neighbour, false));
}

bool RouteDump::ask(std::uint8_t family) {
  alignas(nlmsghdr) char request[kMostMessage];
  family_ = family;
  return socket_->dump(put_route_dump(request, family, place_)).ok();
}

bool RouteDump::begin() {
  sound_ = true;
  try {
    socket_ = std::make_unique<NetlinkSocket>(kReceiveBytes);
  } catch (const std::system_error&) {
    return false;
  }
  return ask(4);
}

RouteDump::State RouteDump::step(const std::function<void(const RouteFact&)>& f) {
  const auto state = socket_->dumped([&](const nlmsghdr* m) {
    if (const auto route = read_route(m, place_.table)) f(*route);
  });
  if (state == NetlinkSocket::Dump::kMore) return State::kMore;
  sound_ &= state == NetlinkSocket::Dump::kDone;
  if (family_ == 6 || state == NetlinkSocket::Dump::kFailed) {
    return sound_ ? State::kSound : State::kUnsound;
  }
  return ask(6) ? State::kMore : State::kUnsound;
}

bool has_wide_weights() {
  utsname name{};
  int major = 0, minor = 0;
  if (::uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &major, &minor) != 2) return false;
  return major > 6 || (major == 6 && minor >= 12);
}

}  // namespace dvr::kernel
