// Members: our next-hop objects that are no group, shared by all groups that hold
// them. So what is lost with an interface or a neighbour is one object, however many
// classes used it. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "sinks/kernel/ids.h"
#include "sinks/kernel/port.h"

namespace dvr::kernel {

class Members {
 public:
  Members(Port& port, const Ids& ids) : port_(port), ids_(ids) {}

  // Forgets what was refused: get() asks the kernel again.
  void begin() { refused_.clear(); }
  // The id of a member, which is made where it is not there.
  Outcome get(const Member& member, std::uint32_t* id);
  // The members that groups of ours hold, one call a group.
  void hold(std::span<const GroupEntry> entries);
  void leave(std::span<const GroupEntry> entries);
  [[nodiscard]] std::uint32_t holders(std::uint32_t id) const;
  // Removes a member from the kernel, and so from its groups, which leave it.
  Outcome remove(std::uint32_t id);
  // Removes what no group holds.
  void collect();
  // Takes over what the kernel has instead of what was thought; nothing is held then. Returns
  // those that somebody has made another next hop of, in order.
  std::vector<std::uint32_t> reset(std::span<const NexthopFact> facts);
  // The next hops with an address that groups of ours hold.
  [[nodiscard]] std::set<Neighbour> neighbours() const;
  // An id that is not ours to use.
  void block(std::uint32_t id) { taken_[id]; }

 private:
  struct Less {
    bool operator()(const Member& a, const Member& b) const;
  };
  struct Use {
    std::uint32_t holders = 0;
    bool ours = false;  // else the id is another program's
  };

  Port& port_;
  const Ids& ids_;
  std::map<Member, std::uint32_t, Less> by_member_;
  std::map<Member, Outcome, Less> refused_;
  std::map<std::uint32_t, Use> taken_;
  std::uint32_t next_ = 0;
  bool unused_ = false;  // something may be held no more
};

}  // namespace dvr::kernel
