// What the kernel sink asks of the kernel and hears from it, as plain data: the
// line between the Mirror, which decides, and netlink, which carries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lib/prefix.h"

namespace dvr::kernel {

// Every route and next-hop object of ours carries this protocol id (rtnetlink.h and Debian's
// rt_protos leave it free). What carries another one is never touched.
inline constexpr std::uint8_t kProtocol = 68;

// Outcome of a request: 0, or an errno and the kernel's words.
struct Outcome {
  int error = 0;
  std::string words;

  [[nodiscard]] bool ok() const { return error == 0; }
};

// Member is a next-hop object that is no group. A family of its own even without
// an address: the kernel refuses IPv6 routes over IPv4 objects.
struct Member {
  std::uint8_t family = 4;      // 4 or 6
  bool blackhole = false;       // then nothing else is set
  std::uint32_t interface = 0;  // index
  Address gateway;              // family 0: none, the interface alone

  friend bool operator==(const Member&, const Member&) = default;
};

struct GroupEntry {
  std::uint32_t member = 0;  // id of a Member in the kernel
  std::uint16_t weight = 1;

  friend bool operator==(const GroupEntry&, const GroupEntry&) = default;
  friend auto operator<=>(const GroupEntry&, const GroupEntry&) = default;
};

// Neighbour is a next hop with an address, where it is.
struct Neighbour {
  std::uint32_t interface = 0;
  Address address;

  friend bool operator==(const Neighbour&, const Neighbour&) = default;
  friend bool operator<(const Neighbour& a, const Neighbour& b) {
    if (a.interface != b.interface) return a.interface < b.interface;
    if (a.address.family != b.address.family) return a.address.family < b.address.family;
    return a.address.bits < b.address.bits;
  }
};

// NeighbourFact is what the kernel knows of one.
struct NeighbourFact {
  enum class State : std::uint8_t {
    kFailed,
    kAnswers,
    kFixed,  // somebody said where it is, or its link needs no answer: it is not asked
  };
  State state = State::kAnswers;
  Neighbour neighbour;
};

enum class RouteType : std::uint8_t { kGroup, kUnreachable, kProhibit, kOther };

// RouteOperation changes one prefix of our table at our metric.
struct RouteOperation {
  enum class Kind : std::uint8_t {
    kAdd,      // refused with EEXIST where something stands there
    kReplace,  // atomic; adds where nothing stands there
    kDelete,   // of a route with our protocol only
  };
  Kind kind = Kind::kAdd;
  RouteType type = RouteType::kGroup;
  std::uint32_t group = 0;
  std::uint32_t metric = 0;  // 0: ours
  Prefix prefix;
};

struct RouteFailure {
  std::size_t index = 0;  // of the operation
  Outcome outcome;
};

// Port executes requests, each for itself: one that fails stops no other.
//
// Threading: one thread. Cost: a system call each, for routes one a thousand.
class Port {
 public:
  Port() = default;
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  virtual ~Port() = default;

  virtual Outcome add_member(std::uint32_t id, const Member& member) = 0;
  // replace: of a group that is there; else it must not be (EEXIST).
  virtual Outcome set_group(std::uint32_t id, std::span<const GroupEntry> entries,
                            bool replace) = 0;
  // A member leaves its groups; a group that loses its last one, or is removed
  // itself, takes its routes along.
  virtual Outcome remove_nexthop(std::uint32_t id) = 0;
  // In order. Appends what failed.
  virtual void routes(std::span<const RouteOperation> operations,
                      std::vector<RouteFailure>* failed) = 0;
  // The interface on whose link the kernel has this address; none: it has it on no link.
  virtual std::optional<std::uint32_t> interface_of(const Address& gateway) = 0;
};

// NexthopFact is a next-hop object as the kernel shows it.
struct NexthopFact {
  std::uint32_t id = 0;
  std::uint8_t protocol = 0;
  bool group = false;
  Member member;
  std::vector<GroupEntry> entries;
};

// RouteFact is a route of our table as the kernel shows it.
struct RouteFact {
  Prefix prefix;
  std::uint8_t protocol = 0;
  std::uint32_t metric = 0;
  RouteType type = RouteType::kGroup;
  std::uint32_t group = 0;  // 0: its next hops are no object
};

struct LinkFact {
  std::uint32_t index = 0;
  std::string name;
  bool gone = false;
  bool usable = false;  // up, with carrier: next hops can be there

  friend bool operator==(const LinkFact&, const LinkFact&) = default;
};

}  // namespace dvr::kernel
