package projector

import (
	"iter"
	"net/netip"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// References is what still speaks of a router.
type References struct {
	Links        []eventlog.LinkID // it is an end of, in order
	Destinations int               // it has routes of its own to, that can forward
	Routes       bool              // it has any routes of its own
	Guards       []string          // that name it, and freezes
}

// Any reports that there is something.
func (r *References) Any() bool { return len(r.Links) > 0 || r.Routes || len(r.Guards) > 0 }

// References finds what speaks of a router. Cost: O(links + classes of the
// router), no prefix is looked at.
func (s *State) References(router eventlog.RouterID) References {
	return s.ReferencesTo([]eventlog.RouterID{router})[0]
}

// ReferencesTo finds what speaks of each of several routers, in their order.
// Cost: O(links + classes of the routers), no prefix is looked at.
func (s *State) ReferencesTo(routers []eventlog.RouterID) []References {
	out := make([]References, len(routers))
	at := make(map[eventlog.RouterID]*References, len(routers))
	for i, r := range routers {
		at[r] = &out[i]
	}
	for _, it := range itemsOf(s.items, pmap.String(rune(itemLink))) {
		l := it.event.(*eventlog.LinkSet)
		for _, end := range []eventlog.RouterID{l.A, l.B} {
			if r := at[end]; r != nil {
				r.Links = append(r.Links, l.LinkID)
			}
		}
	}
	for i, router := range routers {
		named, _ := s.named.Get(pmap.String(router))
		out[i].Routes = int(named) > len(out[i].Links)
		for c := range s.originating(router) {
			if a := s.classes.Ptr(pmap.ID(c.id)); a != nil {
				out[i].Destinations += int(a.n4 + a.n6)
			}
		}
	}
	named := func(by string, list []eventlog.RouterID) {
		for _, router := range list {
			if r := at[router]; r != nil {
				r.Guards = append(r.Guards, by)
			}
		}
	}
	for g := range s.Guards() {
		named(g.Name, g.Routers)
	}
	for f := range s.Freezes() {
		named(f.Name, f.Routers)
	}
	return out
}

// OwnRoutes are some of a router's own routes, in order, at most n. Cost: O(destinations)
// up to the last that is told.
func (s *State) OwnRoutes(router eventlog.RouterID, n int) []eventlog.RouteID {
	var out []eventlog.RouteID
	for p, e := range s.entries(netip.Prefix{}, netip.Prefix{}) {
		for _, b := range e.set.bodies {
			if b.route.Router != router {
				continue
			}
			if len(out) == n {
				return out
			}
			r := b.at(p)
			out = append(out, r.RouteID)
		}
	}
	return out
}

// Announcing tells of each of several routers whether it has any route of its
// own, usable or not: what References.Routes says, and exact in a state of an
// Overlay, too. Cost: O(destinations), and each set of candidates once.
func (s *State) Announcing(routers []eventlog.RouterID) []bool {
	out := make([]bool, len(routers))
	at := make(map[eventlog.RouterID]int, len(routers))
	for i, r := range routers {
		at[r] = i
	}
	var seen []bool // by slot of the set
	for _, e := range s.entries(netip.Prefix{}, netip.Prefix{}) {
		slot := int(e.set.slot)
		if slot >= len(seen) {
			seen = append(seen, make([]bool, 2*slot+64-len(seen))...)
		}
		if seen[slot] {
			continue
		}
		seen[slot] = true
		for _, b := range e.set.bodies {
			if i, ok := at[b.route.Router]; ok {
				out[i] = true
			}
		}
	}
	return out
}

// RIB iterates over the destinations that a router has candidates for, strictly
// after the cursor, each with the decision about every candidate. Candidates
// of other routers are among them: they are what it could learn.
func (s *State) RIB(router eventlog.RouterID, after netip.Prefix) iter.Seq2[netip.Prefix, []Judged] {
	return func(yield func(netip.Prefix, []Judged) bool) {
		v := s.view(router)
		for p, e := range s.entries(netip.Prefix{}, after) {
			if !yield(p.prefix(), v.explain(p, e)) {
				return
			}
		}
	}
}
