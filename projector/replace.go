package projector

import (
	"net/netip"
	"slices"

	"dvr/eventlog"
)

// Replace is what makes the routes of a scope those that are desired, and no
// others: desired is sorted by CompareRoutes, each identity once; scope says which
// of the state's routes are in question (nil: all). What is as desired already is not
// touched. Cost: a pass over the table.
func (s *State) Replace(desired []*eventlog.RouteAnnounced, scope func(*eventlog.RouteAnnounced) bool) []eventlog.Event {
	var out []eventlog.Event
	for p, e := range s.entries(netip.Prefix{}, netip.Prefix{}) {
		for len(desired) > 0 && placeOf(desired[0].Destination).compare(p) < 0 {
			out = append(out, desired[0])
			desired = desired[1:]
		}
		for _, b := range e.set.bodies {
			order := -1
			for len(desired) > 0 && placeOf(desired[0].Destination) == p {
				if order = compareRoutes(&b.route.RouteID, &desired[0].RouteID); order <= 0 {
					break
				}
				out = append(out, desired[0])
				desired = desired[1:]
				order = -1
			}
			switch {
			case order == 0 && b.is(desired[0]):
				desired = desired[1:]
			case order == 0:
				out = append(out, desired[0])
				desired = desired[1:]
			case scope == nil || scope(&b.route): // not desired
				r := b.at(p)
				out = append(out, &eventlog.RouteWithdrawn{RouteID: r.RouteID})
			}
		}
	}
	for _, r := range desired {
		out = append(out, r)
	}
	return out
}

// Topology is routers' declarations and links.
type Topology struct {
	Routers []*eventlog.RouterSet
	Links   []*eventlog.LinkSet
}

// ReplaceTopology is what makes the declared routers and links of a scope those
// that are desired, each identity once, and no others; routers and links say which
// of the state's are in question (nil: all). Links are removed before routers, and
// routers declared before links. What is as desired already is not touched, and what
// is observed of links is left alone. Cost: O(routers + links).
func (s *State) ReplaceTopology(desired Topology, routers func(*eventlog.RouterSet) bool, links func(*eventlog.LinkSet) bool) []eventlog.Event {
	var out []eventlog.Event
	wanted := map[eventlog.LinkID]*eventlog.LinkSet{}
	for _, l := range desired.Links {
		wanted[l.LinkID] = l
	}
	declared := map[eventlog.RouterID]*eventlog.RouterSet{}
	for _, r := range desired.Routers {
		declared[r.Router] = r
	}
	for l := range s.Links() {
		switch want, ok := wanted[l.LinkID]; {
		case !ok && (links == nil || links(&l.LinkSet)):
			out = append(out, &eventlog.LinkRemoved{LinkID: l.LinkID})
		case ok && sameItem(want, &l.LinkSet):
			delete(wanted, l.LinkID)
		}
	}
	for r := range s.Routers() {
		if !r.Declared {
			continue
		}
		switch want, ok := declared[r.RouterSet.Router]; {
		case !ok && (routers == nil || routers(&r.RouterSet)):
			out = append(out, &eventlog.RouterRemoved{Router: r.RouterSet.Router})
		case ok && sameItem(want, &r.RouterSet):
			delete(declared, r.RouterSet.Router)
		}
	}
	for _, r := range desired.Routers {
		if declared[r.Router] == r {
			out = append(out, r)
		}
	}
	for _, l := range desired.Links {
		if wanted[l.LinkID] == l {
			out = append(out, l)
		}
	}
	return out
}

// CompareRoutes orders routes as a state lists them: by destination (IPv4 first,
// address, length), then by the rest of the identity.
func CompareRoutes(a, b *eventlog.RouteID) int {
	if c := placeOf(a.Destination).compare(placeOf(b.Destination)); c != 0 {
		return c
	}
	return compareRoutes(a, b)
}

// LatestRoutes sorts events about routes by CompareRoutes, in place, and keeps of
// those about one route the last. Cost: O(n) where they are in order already.
func LatestRoutes(events []eventlog.Event) []eventlog.Event {
	order := func(a, b eventlog.Event) int { return CompareRoutes(aboutRoute(a), aboutRoute(b)) }
	strict := true
	for i := 1; i < len(events) && strict; i++ {
		strict = order(events[i-1], events[i]) < 0
	}
	if strict {
		return events
	}
	slices.SortStableFunc(events, order)
	out := events[:0]
	for i, e := range events {
		if i+1 == len(events) || order(e, events[i+1]) != 0 {
			out = append(out, e)
		}
	}
	return out
}
