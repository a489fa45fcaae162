// Listener: what others do to the kernel's routes, next hops, links and addresses.
//
// A filter in the kernel drops what cannot concern us, foremost the echo of our own changes,
// so that a full table of ours or of another program does not overrun the socket. Routes
// that the kernel itself takes away (with an interface, with a next hop) are dropped, too:
// IPv4 ones are not told at all; links and next hops tell.
//
// Threading: one thread. Errors: the constructor throws std::system_error.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "sinks/kernel/netlink.h"
#include "sinks/kernel/port.h"
#include "sinks/kernel/rtnetlink.h"

namespace dvr::kernel {

// What a notification was about. `by` is the netlink port of who did it; the kernel's own: 0.
struct News {
  enum class Kind : std::uint8_t {
    kRouteRemoved,
    kRouteReplaced,
    kNexthops,  // some next-hop object
    kLink,
    kAddresses,  // some address
    kNeighbour,  // one that answers, or does not
  };
  Kind kind = Kind::kAddresses;
  std::uint32_t by = 0;
  RouteFact route;
  LinkFact link;
  NeighbourFact neighbour;
};

class Listener {
 public:
  // `own`: the port whose changes are not told.
  Listener(const Place& place, std::uint32_t own, std::size_t receive_bytes);

  [[nodiscard]] int fd() const { return socket_.fd(); }

  enum class State { kEmpty, kMore, kOverrun };
  // Reads up to `most` messages. kOverrun: some were lost, anything may have happened, and
  // all that were not have been read: the kernel does not tell of further losses before.
  State read(std::size_t most, const std::function<void(const News&)>& f);

 private:
  Place place_;
  NetlinkSocket socket_;
  bool lost_ = false;
};

// What others chose to name themselves, fit for a line of a log and for a
// message: all but printable ASCII is '?'.
std::string printable(std::string name);

// Names who has a netlink port: its process as a rule, as long as it lives.
std::string culprit(std::uint32_t port);

}  // namespace dvr::kernel
