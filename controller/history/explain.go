package history

import (
	"net/netip"
	"slices"

	"dvr/eventlog"
	"dvr/projector"
)

// Outcome is what becomes of a packet.
type Outcome string

// The outcomes. Of several paths the worst counts, in this order.
const (
	Delivered Outcome = "delivered" // handed to a next hop outside, on every path
	Discarded Outcome = "discarded" // by a route that says so
	NoRoute   Outcome = "no route"  // some router knows none
	Looped    Outcome = "loop"      // it comes back to a router
)

// Match is a destination that contains the address, its candidates judged.
type Match struct {
	Prefix   netip.Prefix
	Revision eventlog.Revision // newest change
	Judged   []projector.Judged
}

// Hop is a router on the way.
type Hop struct {
	Router   eventlog.RouterID
	Distance int  // routers before it on the shortest way
	Decided  bool // false: no usable match
	Decision projector.Decision
	Match    Match
	// Passed are longer matches, longest first, that have no usable candidate here.
	Passed []Match
	// Links are those that lead to Next; Exits the next hops outside.
	Links []projector.Link
	Next  []eventlog.RouterID
	Exits []projector.NextHop
}

// Explanation is the way of a packet through the routers.
type Explanation struct {
	Address netip.Addr
	Hops    []Hop // the first is where it begins; in order of distance
	Outcome Outcome
	// Cut: there are more routers on the way than are followed.
	Cut bool
}

// Bounds of an explanation.
const (
	maxHops   = 256
	maxPassed = 8
)

// Explain follows the decisions about an address from a router on, over all
// equally good paths. Cost: a lookup a router, and one pass over the links.
func Explain(st *projector.State, router eventlog.RouterID, a netip.Addr) *Explanation {
	e := &Explanation{Address: a, Outcome: Delivered}
	x := explainer{state: st, out: e, at: map[eventlog.RouterID]int{}}
	x.enter(router, 0)
	for i := 0; i < len(e.Hops); i++ {
		for _, next := range e.Hops[i].Next {
			x.enter(next, e.Hops[i].Distance+1)
		}
	}
	if x.circular() {
		x.worst(Looped)
	}
	return e
}

// usable: the administrator and both ends have it up.
func usable(l *projector.Link) bool {
	if l.Down {
		return false
	}
	for _, seen := range l.Observed {
		if seen == eventlog.ObservedDown {
			return false
		}
	}
	return true
}

type explainer struct {
	state *projector.State
	out   *Explanation
	at    map[eventlog.RouterID]int // place in Hops
	links map[[2]eventlog.RouterID][]projector.Link
}

func (x *explainer) worst(o Outcome) {
	rank := []Outcome{Delivered, Discarded, NoRoute, Looped}
	if slices.Index(rank, o) > slices.Index(rank, x.out.Outcome) {
		x.out.Outcome = o
	}
}

// enter adds the hop of a router, unless it is there.
func (x *explainer) enter(r eventlog.RouterID, distance int) {
	if _, ok := x.at[r]; ok {
		return
	}
	if len(x.out.Hops) == maxHops {
		x.out.Cut = true
		return
	}
	x.at[r] = len(x.out.Hops)
	a := x.out.Address
	h := Hop{Router: r, Distance: distance}
	h.Decision, h.Decided = x.state.Lookup(r, a)
	for _, d := range x.state.Covering(netip.PrefixFrom(a, a.BitLen())) {
		m := Match{d.Prefix, d.Revision, nil}
		if h.Decided && d.Prefix == h.Decision.Prefix {
			m.Judged = x.state.Explain(r, d.Prefix)
			h.Match = m
			break
		}
		if len(h.Passed) < maxPassed {
			m.Judged = x.state.Explain(r, d.Prefix)
			h.Passed = append(h.Passed, m)
		}
	}
	if !h.Decided {
		x.worst(NoRoute)
	}
	for _, n := range h.Decision.NextHops {
		if n.Via == "" {
			h.Exits = append(h.Exits, n)
			if n.Type != eventlog.Unicast {
				x.worst(Discarded)
			}
			continue
		}
		h.Links = append(h.Links, x.linksOver(r, n)...)
		if !slices.Contains(h.Next, n.Via) {
			h.Next = append(h.Next, n.Via)
		}
	}
	x.out.Hops = append(x.out.Hops, h)
}

// linksOver are the links of a router that a next hop uses.
func (x *explainer) linksOver(r eventlog.RouterID, n projector.NextHop) []projector.Link {
	if x.links == nil {
		x.links = map[[2]eventlog.RouterID][]projector.Link{}
		for l := range x.state.Links() {
			pair := [2]eventlog.RouterID{l.A, l.B}
			x.links[pair] = append(x.links[pair], l)
		}
	}
	var out []projector.Link
	for _, l := range x.links[[2]eventlog.RouterID{min(r, n.Via), max(r, n.Via)}] {
		there, iface := l.AddressB, l.InterfaceA
		if r > n.Via {
			there, iface = l.AddressA, l.InterfaceB
		}
		if usable(&l) && iface == n.Interface && (!n.Address.IsValid() && len(there) == 0 || slices.Contains(there, n.Address)) {
			out = append(out, l)
		}
	}
	return out
}

// circular reports that some path comes back to a router.
func (x *explainer) circular() bool {
	const open, done = 1, 2
	seen := make([]int8, len(x.out.Hops))
	var visit func(i int) bool // at most maxHops deep
	visit = func(i int) bool {
		seen[i] = open
		for _, next := range x.out.Hops[i].Next {
			j, ok := x.at[next]
			if ok && (seen[j] == open || seen[j] == 0 && visit(j)) {
				return true
			}
		}
		seen[i] = done
		return false
	}
	return visit(0)
}
