package projector

import (
	"iter"
	"net/netip"
	"slices"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// RouteChange is a route that two states do not have alike.
type RouteChange struct {
	Before, After *Candidate // nil: it is not there
}

// RouteChanges iterates, in order of prefix and identity, over the routes that
// s and an earlier or later state do not have with equal attributes. Cost:
// O(what the states do not share).
func (s *State) RouteChanges(before *State) iter.Seq[RouteChange] {
	return func(yield func(RouteChange) bool) {
		go4 := true
		pmap.Diff(before.v4, s.v4, sameSet, func(k pmap.V4, a, b *entry) bool {
			go4 = routeChanges(place4(k), a, b, yield)
			return go4
		})
		if !go4 {
			return
		}
		pmap.Diff(before.v6, s.v6, sameSet, func(k pmap.V6, a, b *entry) bool {
			return routeChanges(place6(k), a, b, yield)
		})
	}
}

// routeChanges merges the candidates of two entries, each in canonical order.
func routeChanges(p place, a, b *entry, yield func(RouteChange) bool) bool {
	var left, right []*body
	if a != nil {
		left = a.set.bodies
	}
	if b != nil {
		right = b.set.bodies
	}
	for i, j := 0, 0; i < len(left) || j < len(right); {
		order := 0
		switch {
		case i == len(left):
			order = 1
		case j == len(right):
			order = -1
		default:
			order = compareRoutes(&left[i].route.RouteID, &right[j].route.RouteID)
		}
		var c RouteChange
		if order <= 0 {
			c.Before = &Candidate{left[i].at(p), a.revision(i)}
		}
		if order >= 0 {
			c.After = &Candidate{right[j].at(p), b.revision(j)}
		}
		same := order == 0 && left[i].id == right[j].id
		if order <= 0 {
			i++
		}
		if order >= 0 {
			j++
		}
		if !same && !yield(c) {
			return false
		}
	}
	return true
}

// ItemChange is something other than a route that two states do not have alike:
// the events that would set it.
type ItemChange struct {
	Before, After eventlog.Event    // nil: it is not there
	Revision      eventlog.Revision // of After, or else of Before
}

// ItemChanges iterates over the items that differ, by kind and identity: epoch
// and level, routers, links and what is observed, keys, guards, freezes, roles,
// timers, confirmations. Cost: O(what the states do not share).
func (s *State) ItemChanges(before *State) iter.Seq[ItemChange] {
	return func(yield func(ItemChange) bool) {
		var x, y []byte
		same := func(a, b **item) bool {
			if *a == *b {
				return true
			}
			x, y = eventlog.AppendEvent(x[:0], (*a).event), eventlog.AppendEvent(y[:0], (*b).event)
			return string(x) == string(y)
		}
		pmap.Diff(before.items, s.items, same, func(_ pmap.String, a, b **item) bool {
			var c ItemChange
			if a != nil {
				c.Before, c.Revision = (*a).event, (*a).rev
			}
			if b != nil {
				c.After, c.Revision = (*b).event, (*b).rev
			}
			return yield(c)
		})
	}
}

// EntryChange is a prefix that two FIBs of a router forward unlike, and that is
// of another class in the second.
type EntryChange struct {
	Prefix        netip.Prefix
	Before, After []NextHop // nil: the prefix is not in the FIB
}

// GroupChange is a class that two FIBs of a router forward unlike, with the
// prefixes that are of it in both states.
type GroupChange struct {
	Class         ClassID
	Prefixes      int
	Examples      []netip.Prefix // some of them
	Before, After []NextHop      // nil: not usable, so the prefixes are not in the FIB
}

// FIBDifference is what two FIBs of one router forward unlike. Each prefix that
// differs is told once, in an entry or within a group.
type FIBDifference struct {
	before, after *FIB
	// Groups are those that changed, by class.
	Groups []GroupChange
}

// maxExamples of a group, and how far they are looked for in each family.
const (
	maxExamples = 3
	exampleScan = 1 << 16
)

var (
	allIPv4 = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	allIPv6 = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
)

// Difference compares two FIBs of a router. Cost: O(classes) and O(what the
// states do not share), and a look for examples where a group changed.
func (f *FIB) Difference(before *FIB) *FIBDifference {
	d := &FIBDifference{before: before, after: f}
	at := map[ClassID]int{}
	for k, a := range f.state.classes.All() {
		was := before.state.classes.Ptr(k)
		if was == nil {
			continue // all its prefixes came from elsewhere
		}
		id := ClassID(k)
		if x, y := before.Group(id), f.Group(id); !slices.Equal(x, y) {
			at[id] = len(d.Groups)
			d.Groups = append(d.Groups, GroupChange{Class: id, Prefixes: int(a.n4 + a.n6), Before: x, After: y})
		}
	}
	if len(d.Groups) == 0 {
		return d
	}
	d.moved(func(_ place, _, b *class) bool { // what came from elsewhere is told apart
		if b != nil {
			if i, ok := at[b.id]; ok {
				d.Groups[i].Prefixes--
			}
		}
		return true
	})
	d.name(at)
	d.Groups = slices.DeleteFunc(d.Groups, func(g GroupChange) bool { return g.Prefixes == 0 })
	return d
}

// name looks for examples of the groups, which are at their index by class. Each
// family is looked through apart: IPv6 lies behind all of IPv4.
func (d *FIBDifference) name(at map[ClassID]int) {
	enough := func(g *GroupChange) bool { return len(g.Examples) == min(maxExamples, g.Prefixes) }
	for _, within := range []netip.Prefix{allIPv4, allIPv6} {
		missing := 0
		for i := range d.Groups {
			g := &d.Groups[i]
			if a := d.after.state.classes.Ptr(pmap.ID(g.Class)); !enough(g) && (within == allIPv4 && a.n4 > 0 || within == allIPv6 && a.n6 > 0) {
				missing++
			}
		}
		left := exampleScan
		for p, e := range d.after.state.entries(within, netip.Prefix{}) {
			if left--; left < 0 || missing == 0 {
				break
			}
			if e.set.class == nil {
				continue
			}
			i, ok := at[e.set.class.id]
			if !ok || enough(&d.Groups[i]) {
				continue
			}
			if was := d.before.state.entry(p); was == nil || was.set.class == nil || was.set.class.id != e.set.class.id {
				continue
			}
			if d.Groups[i].Examples = append(d.Groups[i].Examples, p.prefix()); enough(&d.Groups[i]) {
				missing--
			}
		}
	}
}

// Entries iterates over the entries that changed, in order of prefix.
func (d *FIBDifference) Entries() iter.Seq[EntryChange] {
	return func(yield func(EntryChange) bool) {
		d.moved(func(p place, a, b *class) bool {
			c := EntryChange{}
			if a != nil {
				c.Before = d.before.Group(a.id)
			}
			if b != nil {
				c.After = d.after.Group(b.id)
			}
			if slices.Equal(c.Before, c.After) {
				return true
			}
			c.Prefix = p.prefix()
			return yield(c)
		})
	}
}

// moved calls yield with the prefixes that are of another class, or of none, in
// the second state.
func (d *FIBDifference) moved(yield func(p place, a, b *class) bool) {
	step := func(p place, a, b *entry) bool {
		var x, y *class
		if a != nil {
			x = a.set.class
		}
		if b != nil {
			y = b.set.class
		}
		if x == y || x != nil && y != nil && x.id == y.id {
			return true
		}
		return yield(p, x, y)
	}
	more := true
	pmap.Diff(d.before.state.v4, d.after.state.v4, sameSet, func(k pmap.V4, a, b *entry) bool {
		more = step(place4(k), a, b)
		return more
	})
	if !more {
		return
	}
	pmap.Diff(d.before.state.v6, d.after.state.v6, sameSet, func(k pmap.V6, a, b *entry) bool {
		return step(place6(k), a, b)
	})
}
