// Package reference is the projector written down as plainly as possible: maps,
// linear scans, Bellman-Ford over everything, nothing kept between questions.
// Tests hold the fold against it; nothing else imports it. It serves the
// default VRF and follows docs/decisions/0003-identities-and-digests.md. Where
// the decision leaves a choice, this is the one made here:
//
//   - `*` routes are local at every router and are not learnt over links.
//   - What a router tells its neighbours is its best among its named routes and
//     what it learnt. Drained soft: its own named routes only. Drained hard: nothing.
//     A drained router itself still learns.
//   - A named router's recursive routes are resolved in its local RIB: its own
//     and `*` routes, their recursion resolved in the same RIB. Recursive `*`
//     routes are resolved anew at every router in the whole RIB, in which the
//     router's own recursive routes are what the local RIB made of them.
//   - In a round of the recursion rule a candidate is taken out when its next
//     hop matches nothing usable or when it lies on a cycle, all at once.
//   - A recursive candidate contributes the next hops of the decision that
//     resolves it, their weights multiplied by its own (at most 65,535). An own
//     next hop that is an interface without an address gets the recursive one:
//     the interface's network is the one that it is on.
//   - A link is down when it is down administratively or when either end
//     observes it down; observed next hops do not take part in forwarding.
//   - A neighbour is addressed in the family of the first next hop of the class's
//     records, IPv4 where none has one: a class has no family of its own, and all
//     its prefixes must share one group.
//   - Candidates that are one record of the class count once, in groups too.
package reference
