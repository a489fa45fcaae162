// The kernel itself behind a Port, and what it shows of itself.
//
// Threading: one thread. Errors: the constructor throws std::system_error.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "sinks/kernel/netlink.h"
#include "sinks/kernel/port.h"
#include "sinks/kernel/rtnetlink.h"

namespace dvr::kernel {

class NetlinkPort final : public Port {
 public:
  explicit NetlinkPort(const Place& place);

  Outcome add_member(std::uint32_t id, const Member& member) override;
  Outcome set_group(std::uint32_t id, std::span<const GroupEntry> entries, bool replace) override;
  Outcome remove_nexthop(std::uint32_t id) override;
  void routes(std::span<const RouteOperation> operations,
              std::vector<RouteFailure>* failed) override;
  std::optional<std::uint32_t> interface_of(const Address& gateway) override;

  // Has the kernel find out whether it answers.
  void probe(const Neighbour& neighbour);

  // What the kernel calls those who make these changes.
  [[nodiscard]] std::uint32_t port() const { return socket_.port(); }

  // Requests since it was made: those that the kernel carried out, and all that it refused.
  struct Count {
    std::uint64_t routes_added = 0, routes_replaced = 0, routes_removed = 0;
    std::uint64_t groups_set = 0, nexthops_added = 0, nexthops_removed = 0;
    std::uint64_t refused = 0;
  };
  [[nodiscard]] const Count& count() const { return count_; }

  // All of them; none: the kernel would not tell.
  std::optional<std::vector<NexthopFact>> nexthops();
  std::optional<std::vector<LinkFact>> links();
  // Those that answer or failed to.
  std::optional<std::vector<NeighbourFact>> neighbours();

 private:
  template <class Fact, class Read>
  std::optional<std::vector<Fact>> all(nlmsghdr* request, Read read);

  Outcome counted(Outcome outcome, std::uint64_t* done);

  Place place_;
  NetlinkSocket socket_;
  NetlinkSocket dumps_;
  std::vector<char> batch_;
  Count count_;
};

// RouteDump reads our routes piece by piece, so that other work goes on between.
class RouteDump {
 public:
  explicit RouteDump(const Place& place) : place_(place) {}

  // Starts with IPv4, goes on to IPv6; one in progress is given up. False: the kernel refused.
  bool begin();
  enum class State { kMore, kSound, kUnsound };
  // One read.
  State step(const std::function<void(const RouteFact&)>& f);

 private:
  static constexpr std::size_t kReceiveBytes = 1u << 20;
  bool ask(std::uint8_t family);

  Place place_;
  std::unique_ptr<NetlinkSocket> socket_;  // one dump at a time may be in progress on it
  std::uint8_t family_ = 4;
  bool sound_ = true;
};

// Whether the running kernel takes next-hop weights above 256 (Linux 6.12).
bool has_wide_weights();

}  // namespace dvr::kernel
