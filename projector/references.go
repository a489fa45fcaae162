package projector

import (
	"iter"
	"net/netip"
	"slices"

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
func (s *State) References(router eventlog.RouterID) (out References) {
	named, _ := s.named.Get(pmap.String(router))
	if named > 0 {
		for _, it := range itemsOf(s.items, pmap.String(rune(itemLink))) {
			if l := it.event.(*eventlog.LinkSet); l.A == router || l.B == router {
				out.Links = append(out.Links, l.LinkID)
			}
		}
		out.Routes = int(named) > len(out.Links)
		for c := range s.originating(router) {
			if a := s.classes.Ptr(pmap.ID(c.id)); a != nil {
				out.Destinations += int(a.n4 + a.n6)
			}
		}
	}
	for g := range s.Guards() {
		if slices.Contains(g.Routers, router) {
			out.Guards = append(out.Guards, g.Name)
		}
	}
	for f := range s.Freezes() {
		if slices.Contains(f.Routers, router) {
			out.Guards = append(out.Guards, f.Name)
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
