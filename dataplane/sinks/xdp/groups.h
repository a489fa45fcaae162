// The groups: what becomes of the packets of each class, in memory that the program reads.
//
// A group's word is replaced as a whole. Its buckets and its next hops are never changed while it
// names them: what changes is written elsewhere, the words follow, and then the old is retired.
//
// A next hop is used when its interface is known, up and one of ours, and its neighbour is
// resolved. Where others are left, one that cannot be used (no interface, no carrier, a
// neighbour that failed) has no part in the group; one that is only not resolved yet, or lies
// behind an interface that is not ours, keeps its share, whose packets go to the kernel.
//
// Threading: one thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "lib/group.h"
#include "sinks/xdp/around.h"
#include "sinks/xdp/layout.h"
#include "sinks/xdp/memory.h"

namespace dvr::xdp {

class Groups {
 public:
  struct Memory {
    std::uint64_t* words = nullptr;
    std::uint32_t count = 0;
    dvr_nexthop* nexthops = nullptr;
    Slots* slots = nullptr;
    Pool* pool = nullptr;
  };

  // `ports`: the names of our interfaces; a port's number is its place.
  explicit Groups(std::vector<std::string> ports);

  // Local class ids. Empty: withdrawn. A group is there, or changed, when set returns.
  void set(std::uint32_t id, std::span<const NextHop> hops);
  void release(std::uint32_t id);

  // Facts; what follows from them is done by refresh().
  void set_link(const LinkFact& link);
  void set_neighbour(const NeighbourFact& neighbour);
  // A look at everything: between these, each link and neighbour that is there is told. What was
  // not goes with end(); without one all stays as it was.
  void begin();
  void end();
  // The link that a prefix is on, for next hops that name none; 0: none.
  void set_direct(const Prefix& prefix, std::uint32_t interface);
  // Makes everything as the facts say. Cost: O(groups), where something has changed.
  void refresh();

  // Renders everything into memory that is all zero. What there was before is left alone.
  void render(const Memory& memory);

  // A group, or a next hop, had no room.
  [[nodiscard]] bool overflowed() const { return overflowed_; }
  // Greatest class id + 1.
  [[nodiscard]] std::size_t size() const { return groups_.size(); }
  // The neighbours that the kernel should know, with what it knows, as of the last refresh().
  [[nodiscard]] std::vector<NeighbourFact> wanted() const;
  [[nodiscard]] const std::map<std::uint32_t, LinkFact>& links() const { return links_; }

 private:
  static constexpr std::uint32_t kUnresolved = 0;

  struct Group {
    bool known = false;
    std::vector<NextHop> hops;
    std::uint64_t word = 0;
    std::vector<std::uint32_t> content;  // members' next hops and weights
    std::uint32_t block = Pool::kNone;
    int order = 0;
  };
  struct Record {            // of a neighbour that a group wants
    std::uint32_t slot = 0;  // 0: none
    dvr_nexthop nexthop{};
    std::uint64_t used = 0;  // the last refresh that met it
  };
  // Where a hop leads.
  struct Way {
    bool alive = false;
    std::uint32_t slot = kUnresolved;
    std::uint64_t seed = 0;
  };

  [[nodiscard]] std::uint32_t interface_of(const NextHop& hop) const;
  Way way_of(const NextHop& hop);
  [[nodiscard]] std::optional<dvr_nexthop> nexthop_for(const NeighbourKey& key,
                                                       const LinkFact& link) const;
  std::uint32_t record(const NeighbourKey& key, const dvr_nexthop& nexthop);
  void render_group(std::uint32_t id);
  void publish(std::uint32_t id, Group& g, std::uint64_t word);
  void drop_buckets(Group& g);

  std::vector<std::string> ports_;
  Memory memory_;
  std::vector<Group> groups_;  // by class id
  std::map<std::uint32_t, LinkFact> links_;
  std::unordered_map<std::string, std::uint32_t> names_;
  std::map<NeighbourKey, NeighbourFact> neighbours_;
  std::set<std::uint32_t> missed_links_;  // by the look that goes on
  std::set<NeighbourKey> missed_neighbours_;
  std::map<NeighbourKey, Record> records_;
  std::vector<std::uint32_t> replaced_;  // slots that groups may still name
  struct Direct {
    Prefix prefix;
    std::uint32_t interface;
  };
  std::vector<Direct> direct_;  // one a prefix
  std::uint64_t round_ = 0;
  bool stale_ = false;
  bool overflowed_ = false;
};

}  // namespace dvr::xdp
