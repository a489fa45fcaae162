// Watch hears from the kernel what is around the router: links, neighbours, routes of others.
//
// Routes with our protocol are not told, neither are tables but local, main, default and the one
// we are in. Threading: one thread. Errors: the constructor throws std::system_error.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "sinks/kernel/netlink.h"
#include "sinks/xdp/around.h"

namespace dvr::xdp {

class Watch {
 public:
  struct Heard {
    std::function<void(const LinkFact&)> link;
    std::function<void(const NeighbourFact&)> neighbour;
    std::function<void(const RouteFact&)> route;
  };

  // `table` is ours.
  Watch(std::uint32_t table, Heard heard);

  // Tells everything. A full look at the routes costs a read of ours, too: some 2 µs each.
  // False: the kernel did not answer; the next look asks anew.
  bool read_all();
  // The last look at everything was of one moment, so what it did not tell is not there.
  [[nodiscard]] bool sound() const { return sound_; }
  // The same without routes: microseconds.
  bool read_links_and_neighbours();
  // Readable: there is news.
  [[nodiscard]] int fd() const { return news_.fd(); }
  // Tells what is new. False: news were lost. What the kernel had kept before is told by then, so
  // that a look comes after all of it.
  bool listen();
  // Has the kernel find a neighbour, or make sure of it.
  void use(const NeighbourKey& key);

 private:
  bool dump(std::uint16_t type, std::uint8_t family);
  bool try_dump(std::uint16_t type, std::uint8_t family);
  void tell(const nlmsghdr* message);

  std::uint32_t table_;
  bool sound_ = false;
  Heard heard_;
  kernel::NetlinkSocket news_;
  std::unique_ptr<kernel::NetlinkSocket> requests_;
};

}  // namespace dvr::xdp
