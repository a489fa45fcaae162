// Mirror: what the kernel should have, what it has, and the operations that make the
// one the other. Pure: the kernel is behind a Port, its news come in as facts, time as calls.
//
//   wanted   classes with their next hops, prefixes with their class      from the Fib
//   have     next-hop groups by class and family, routes by prefix        from what the
//            kernel acknowledged, corrected by notifications and audits
//
// Each class is a next-hop group in each family that it has prefixes of, even with one
// next hop, for the kernel replaces a group by another in place, but no group by a single
// next hop. `unreachable` and `prohibit` have no next-hop object: their routes carry the type.
//
// Order. A route is added or replaced after its group is there; what leaves does so after what
// comes, when a delta has ended. A prefix that changes its class is replaced in one step. A next
// hop that dies in every group that held it is taken out by removing that one object, which
// costs the same whatever the number of groups and prefixes; a class that loses all its
// prefixes, by removing its group, which the kernel takes the routes along with.
//
// Failures stop nothing: what the kernel refuses is counted with its reason and tried
// again by retry(). A prefix that fails to change keeps the route it had.
//
// Start. What the kernel has from an earlier life is adopted: what is right is not
// touched; what is missing is added at once; what is wrong or left over stays until the first
// delta has ended, since it may be newer than the saved table.
//
// Threading: one thread. Memory: 16 bytes a slot for an IPv4 prefix, 32 for IPv6.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lib/digest.h"
#include "lib/group.h"
#include "sinks/kernel/ids.h"
#include "sinks/kernel/members.h"
#include "sinks/kernel/port.h"
#include "sinks/kernel/reasons.h"
#include "sinks/kernel/route_table.h"
#include "sinks/kernel/rtnetlink.h"
#include "sinks/sink.h"

namespace dvr::kernel {

// Restoration is what was set right after somebody else had changed it.
struct Restoration {
  Prefix prefix;  // one of them
  std::string cause;
  std::uint64_t count = 0;
};

// Findings are what is met that is not as it should be.
struct Findings {
  std::uint64_t routes = 0;  // that were compared
  std::vector<Restoration> differences;
};

class Mirror {
 public:
  // wide_weights: the kernel takes weights above 256.
  Mirror(const Place& place, bool wide_weights, Port& port);

  // --- Wanted, in the order of the Fib's calls.

  // Empty: withdrawn; its routes leave at the next settle.
  void want_group(std::uint32_t id, const ClassId& class_id, std::vector<NextHop> hops);
  void want(const Prefix& prefix, std::uint32_t id);
  void unwant(const Prefix& prefix);
  void release(std::uint32_t id);
  // Hands over what was said so far; at the end of a delta also what leaves.
  void settle(bool end);
  // The wanted side is true now, not only the newest that was saved: adoption ends.
  void complete();

  // --- Facts.

  // Start: classes, links, next hops, an audit, then prefixes; then this. Until then
  // want() takes what the kernel has for newer than what was saved.
  void loaded() { loading_ = false; }
  // False: that was known.
  bool set_link(const LinkFact& link);
  // All next-hop objects of the kernel.
  void set_nexthops(std::span<const NexthopFact> facts, const std::string& cause);
  // A route was removed, or put into the place of another, by somebody else.
  void route_removed(const RouteFact& route, const std::string& cause);
  void route_replaced(const RouteFact& route, const std::string& cause);
  // Compares the kernel's routes with what it should have: begin, all routes of ours in any
  // order, end. Everything else may be called in between. sound: each was told that was there
  // all the time, but for IPv6 ones, of which the kernel does not say whether it left some out:
  // those that were not told are suspects, which work() asks the kernel about. How many there are.
  // keep: what was found before belongs to this audit, too.
  void begin_audit(bool keep = false);
  void audit(const RouteFact& route);
  std::size_t end_audit(bool sound);
  // Since the last begin_audit() that kept nothing, also what others told of.
  [[nodiscard]] const Findings& findings() const { return findings_; }
  // Next hops that do not answer (false), or do again: they leave the groups that have another.
  void set_alive(std::span<const std::pair<Neighbour, bool>> changes);
  // The next hops that groups have.
  [[nodiscard]] std::set<Neighbour> neighbours() const { return members_.neighbours(); }
  // Addresses changed: looks again where next hops are that name no interface.
  void locate();
  // An address or a link changed, or time has passed: tries again what failed.
  void retry();

  // --- Repairs, the default route and short prefixes first; true while more is to do.
  bool work(std::size_t routes);
  [[nodiscard]] bool working() const { return waiting_ > 0 || !suspects_.empty(); }

  // The kernel said something that only a look at its next hops explains, or its routes.
  [[nodiscard]] bool doubts_nexthops() const { return doubts_nexthops_; }
  [[nodiscard]] bool doubts_routes() const { return doubts_routes_; }
  [[nodiscard]] bool failing() const {
    return right_ != wanted_ || partial_ > 0 || !stale_.empty() || stuck_ ||
           (!adopting_ && !orphans_.empty());
  }
  // A group is without a next hop that the kernel does not take for now.
  [[nodiscard]] bool deviates() const { return partial_ > 0; }
  [[nodiscard]] bool adopting() const { return adopting_; }

  // Cost: O(1), and a pass over the table when failures have changed.
  SinkReport report();
  // What was restored since the last call.
  std::vector<Restoration> take_restorations() { return std::exchange(restored_, {}); }

 private:
  static constexpr std::size_t kFamilies = 2;  // IPv4, IPv6
  using Groups = std::vector<GroupEntry>;

  // A class in a family.
  struct Half {
    std::uint32_t group = 0;             // in the kernel; 0: none
    RouteType type = RouteType::kGroup;  // another one has no group: it is there as it is
    bool dirty = false;                  // its group must be looked at
    bool partial = false;                // a next hop is missing
    bool stale = false;                  // the kernel refused to replace its group
    bool unfit = false;                  // withdrawn while not all of its prefixes had it
    bool listed = false;                 // the failures name prefixes of it by its reason
    std::uint8_t reason = 0;             // why there is no group, or not the one wanted
    std::uint32_t wanted = 0;            // prefixes that want this class
    std::uint32_t right = 0;             // of them those that have it
    std::uint32_t installed = 0;         // routes that have it, also those that are to change
    Digest sum;                          // of the prefix items of those installed
    Digest item;                         // of the group as this family has it
    Groups content;                      // of the group in the kernel

    [[nodiscard]] bool available() const { return group != 0 || plain(); }
    [[nodiscard]] bool plain() const { return type != RouteType::kGroup; }
  };
  struct Class {
    bool known = false;
    bool withdrawn = false;
    bool floating = false;  // a next hop without interface: the kernel says where it is
    ClassId id;
    Digest whole;  // of the group as it is wanted
    Digest item;   // as it is installed: where the families differ, of one that has another
    std::vector<NextHop> hops;
    std::array<Half, kFamilies> half;

    [[nodiscard]] std::uint64_t installed() const {
      return std::uint64_t{half[0].installed} + half[1].installed;
    }
  };
  struct Slot {  // a class in a family
    std::uint32_t id = 0;
    std::size_t family = 0;

    friend auto operator<=>(const Slot&, const Slot&) = default;
  };
  // Prefixes of a class that lost their routes.
  struct Loss {
    Prefix shortest;
    std::uint64_t count = 0;
  };
  using Losses = std::array<std::vector<Loss>, kFamilies>;  // by local id
  // What a class should have as its group.
  struct Plan {
    Groups content;
    std::vector<NextHop> live;
    std::string reason;  // why a next hop is left out
    RouteType type = RouteType::kGroup;

    [[nodiscard]] bool plain() const { return type != RouteType::kGroup; }
  };

  template <class P>
  static constexpr std::size_t family_of() {
    return P::kWidth == 32 ? 0 : 1;
  }
  template <class P>
  RouteTable<P>& table() {
    if constexpr (P::kWidth == 32) {
      return table4_;
    } else {
      return table6_;
    }
  }
  template <class P>
  std::vector<P>& leaving() {
    if constexpr (P::kWidth == 32) {
      return leaving4_;
    } else {
      return leaving6_;
    }
  }
  template <class F>
  void each_entry(F f) {
    table4_.for_each(f);
    table6_.for_each(f);
  }
  // f(P) for the prefix in its own type.
  template <class F>
  static auto typed(const Prefix& p, F f) {
    if (p.address.family == 4) return f(Prefix4{p.address.as_v4(), p.length});
    return f(Prefix6{p.address.bits, p.length});
  }
  // A prefix is to have this class; else it leaves, or has been left to the Fib to take away.
  [[nodiscard]] bool counts(std::uint32_t wanted) const {
    return wanted != 0 && !classes_[wanted].withdrawn;
  }
  [[nodiscard]] static RouteType type_of(const std::vector<NextHop>& hops);
  [[nodiscard]] static bool is_class(std::uint32_t have) {
    return have != kAbsent && have < kUnreachable;
  }
  // The route is just what a class of this type has.
  [[nodiscard]] static bool is_route_of(RouteType type, std::uint32_t have) {
    return (type == RouteType::kUnreachable && have == kUnreachable) ||
           (type == RouteType::kProhibit && have == kProhibit);
  }
  // Before a controller was heard, what is there is left alone, unless it is taken over as it is.
  template <class E>
  [[nodiscard]] bool untouchable(const E& e) const {
    return adopting_ && e.have != kAbsent && !is_route_of(type_of(classes_[e.wanted].hops), e.have);
  }

  // What an operation on a route makes of it, if it is not refused.
  struct Sent {
    std::uint32_t before = kAbsent;
    std::uint32_t after = kAbsent;
    // The route is taken to be there: it is added to find out.
    bool probe = false;
  };

  // mirror.cc: routes.
  template <class E>
  void set_have(E& e, std::uint32_t have);
  template <class E>
  void set_wanted(E& e, std::uint32_t wanted);
  template <class P>
  void want(const P& p, std::uint32_t id);
  template <class P>
  void unwant(const P& p);
  template <class P>
  void install(const P& p, typename RouteTable<P>::Entry* e);
  template <class P>
  void take_back(const P& p, const RouteOperation& op, const Sent& sent, const Outcome& outcome);
  // Sends an operation with others. One batch has no two of a prefix, so that what is
  // refused can be taken back: ready() first, which may move entries.
  template <class P>
  typename RouteTable<P>::Entry* ready(const P& p, typename RouteTable<P>::Entry* e);
  void push(const RouteOperation& op, const Sent& sent);
  void flush();
  void settle_probes();
  template <class P>
  [[nodiscard]] RouteOperation route_of(const P& p, std::uint32_t id) const;
  // Installs what waits for groups that came with this delta.
  void install_owed();
  // Asks about suspects, by adding their routes where nothing stands.
  void probe(std::size_t most);
  template <class E>
  void await(const E& e);
  void await_unfit();
  std::uint8_t reason_of(const std::string& words);

  // groups.cc.
  struct Change {
    Slot slot;
    Plan plan;
  };
  Class& at(std::uint32_t id);
  Half& half(Slot slot) { return classes_[slot.id].half[slot.family]; }
  void mark(Slot slot);
  Plan plan(Slot slot);
  std::string member_of(const NextHop& hop, std::size_t family, Member* member);
  // Makes groups as they should be; true: prefixes wait for one that came, beside the one
  // of `asking` that the caller has in hand.
  bool settle_groups(const Slot* asking = nullptr);
  void remove_dead(std::vector<Change>* changes);
  void bring(Slot slot, const Plan& plan);
  void replace(Slot slot, const Plan& plan);
  void change_type(Slot slot, const Plan& plan);
  void drop_group(Slot slot);
  void set_content(Half& half, Groups content);
  void settle_state(Slot slot, const Plan& plan);
  void settle_item(Class& c);
  void set_stale(Slot slot, bool stale);
  // Not ok: the group is an orphan now, which retry() removes.
  Outcome remove_group(std::uint32_t id, const Groups& content);
  // Notes why a route is there that should not be.
  template <class E>
  void blame(E& e, const Outcome& outcome) {
    if (counts(e.wanted) || e.have == kAbsent) return;
    e.reason = reason_of("cannot be removed: " + outcome.words);
    failures_stale_ = stuck_ = true;
  }
  void remove_orphans(const std::string& cause);
  // Their groups and routes are gone from the kernel; so are routes in the state `others`.
  Losses lose(const std::set<Slot>& slots, std::uint32_t others);

  // removal.cc.
  void remove_leaving();
  // Removes groups, and so their routes.
  void remove_whole(const std::set<Slot>& slots);
  template <class P>
  void pick_leaving(std::set<Slot>* whole, std::map<std::uint32_t, std::vector<P>>* parts,
                    std::vector<P>* single);
  void remove_by_copy(const Groups& content, const std::vector<Prefix4>& prefixes);
  void remove_single(const Prefix& prefix);

  // audit.cc.
  void note(const Prefix& p, const std::string& cause, std::uint64_t count = 1);
  void found(const Prefix& p, const std::string& cause, std::uint64_t count = 1);
  void note_lost(const Losses& losses, const std::string& cause);
  void note_altered(const std::map<Slot, Groups>& altered, const std::string& cause);
  bool adopt_group(const NexthopFact& fact);
  [[nodiscard]] std::uint32_t state_of(const RouteFact& route, std::uint32_t wanted,
                                       std::uint32_t have) const;

  Place place_;
  bool wide_weights_;
  Port& port_;
  Ids ids_;
  Members members_;
  std::map<std::string, LinkFact> links_;                     // by name
  std::map<std::string, std::optional<std::uint32_t>> ways_;  // of one look at the groups

  std::set<Neighbour> dead_;

  std::vector<Class> classes_;  // by local id
  RouteTable<Prefix4> table4_;
  RouteTable<Prefix6> table6_;

  std::vector<Slot> dirty_;
  std::set<Slot> withdrawn_;
  std::vector<Prefix4> leaving4_;
  std::vector<Prefix6> leaving6_;
  std::unordered_map<std::uint32_t, Slot> groups_;  // in the kernel, by id
  std::map<std::uint32_t, Groups> orphans_;         // groups of ours of no class
  std::set<std::uint32_t> blocked_;                 // ids that are another program's
  std::vector<RouteOperation> strays_;              // routes of ours with another metric
  bool loading_ = true;
  bool adopting_ = true;

  std::vector<RouteOperation> ops_;
  std::vector<Sent> sent_;  // for each
  std::vector<RouteFailure> refused_;
  std::uint8_t batch_ = 1;  // a number that comes again costs a flush, no more

  // Prefixes to be looked at again, by length: an entry may be stale, the table decides.
  std::array<std::deque<Prefix>, 129> waiting_by_length_;
  std::size_t waiting_ = 0;
  std::vector<Prefix6> suspects_;  // not told by an audit; the next to ask about last
  // Of suspects those in whose place there is a route; they were in the audit before.
  std::vector<Prefix6> unproved_, unproved_before_;
  std::set<Slot> came_;   // groups that prefixes wait for, of the delta in progress
  std::set<Slot> stale_;  // whose group is not the one wanted
  std::map<std::string, Restoration> causes_;
  std::vector<Restoration> restored_;
  std::uint64_t repaired_ = 0;
  Findings findings_;

  std::uint8_t mark_ = 1;
  Reasons reasons_;
  std::uint64_t wanted_ = 0, right_ = 0;
  std::uint64_t entries_ = 0;     // routes to a class
  std::uint64_t installed4_ = 0;  // IPv4 routes of ours, whatever they lead to
  std::uint64_t partial_ = 0;     // halves with a next hop missing
  Digest installed_;
  bool doubts_nexthops_ = false, doubts_routes_ = false;
  bool stuck_ = false;  // the kernel may keep routes whose removal it refused

  bool failures_stale_ = true;
  std::vector<SinkFailure> failures_;
  std::uint64_t stuck_count_ = 0;  // routes that should be gone
  BucketBitmap failed_buckets_{};
};

}  // namespace dvr::kernel
