package projector

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"dvr/eventlog"
	"dvr/projector/internal/reference"
)

// forwarding is what a FIB does with each prefix, the slow way.
func forwardingOf(s *State, f *FIB) map[netip.Prefix]string {
	out := map[netip.Prefix]string{}
	for p, e := range s.entries(netip.Prefix{}, netip.Prefix{}) {
		if c := e.set.class; c != nil {
			if hops := f.Group(c.id); hops != nil {
				out[p.prefix()] = fmt.Sprint(hops)
			}
		}
	}
	return out
}

// A difference applied to the first state gives the second: intent (routes and
// items, folded as events) and effect (every router's FIB); within one history
// of folding and across two.
func TestADifferenceAppliedGivesTheOtherState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		commits := commitsOf(t, reference.World{}.Events(40).Draw(t, "events"), 4)
		n := rapid.IntRange(0, len(commits)).Draw(t, "from")
		f := NewFold("log")
		mustApplyRapid(t, f, commits[:n]...)
		a := f.State()
		mustApplyRapid(t, f, commits[n:]...)
		b := f.State()
		if rapid.Bool().Draw(t, "apart") { // nothing is shared
			f = NewFold("log")
			mustApplyRapid(t, f, commits...)
			b = f.State()
		}
		if rapid.Bool().Draw(t, "backwards") {
			a, b = b, a
		}
		var events []eventlog.Event
		for c := range b.RouteChanges(a) {
			switch {
			case c.After == nil:
				events = append(events, &eventlog.RouteWithdrawn{RouteID: c.Before.RouteID})
			default:
				if c.Before != nil && c.Before.RouteID != c.After.RouteID {
					t.Fatalf("%v becomes %v", c.Before, c.After)
				}
				events = append(events, &c.After.RouteAnnounced)
			}
		}
		for c := range b.ItemChanges(a) {
			if c.After != nil {
				events = append(events, c.After)
			} else if e := remover(c.Before); e != nil {
				events = append(events, e)
			}
		}
		g := Revisit(a)
		mustApplyRapid(t, g, &eventlog.Commit{Revision: a.pos.Revision + 1, Time: a.time, Events: events})
		got := g.State()
		for d := range got.Destinations(netip.Prefix{}, netip.Prefix{}) {
			want, ok := b.Destination(d.Prefix)
			if !ok || len(want.Candidates) != len(d.Candidates) {
				t.Fatalf("%s: %v, want %v", d.Prefix, d, want)
			}
			for i := range d.Candidates {
				if fmt.Sprint(d.Candidates[i].RouteAnnounced) != fmt.Sprint(want.Candidates[i].RouteAnnounced) {
					t.Fatalf("%s: %v, want %v", d.Prefix, d.Candidates[i], want.Candidates[i])
				}
			}
		}
		if got.Stats().Routes != b.Stats().Routes || got.Stats().Links != b.Stats().Links || got.Stats().Keys != b.Stats().Keys {
			t.Fatalf("%+v, want %+v", got.Stats(), b.Stats())
		}
		for c := range b.ItemChanges(got) { // what is seen goes with its router or link, and has no event of its own that removes it
			for _, e := range []eventlog.Event{c.Before, c.After} {
				switch e.(type) {
				case nil, *eventlog.LinkObserved, *eventlog.NextHopObserved:
				default:
					t.Fatalf("%v is left", c)
				}
			}
		}
		for _, r := range routersAsked {
			x, y := a.FIB(r, nil), b.FIB(r, nil)
			have, want := forwardingOf(a, x), forwardingOf(b, y)
			d := y.Difference(x)
			told := map[netip.Prefix]bool{}
			tell := func(p netip.Prefix, before, after []NextHop) {
				if told[p] {
					t.Fatalf("%s: %s is told twice", r, p)
				}
				if fmt.Sprint(before) == fmt.Sprint(after) {
					t.Fatalf("%s: %s stays %v", r, p, before)
				}
				told[p] = true
				if was := have[p]; was != "" && was != fmt.Sprint(before) || was == "" && before != nil {
					t.Fatalf("%s: %s was %s, not %v", r, p, was, before)
				}
				if delete(have, p); after != nil {
					have[p] = fmt.Sprint(after)
				}
			}
			for _, g := range d.Groups {
				n := 0
				for p, e := range b.entries(netip.Prefix{}, netip.Prefix{}) {
					was := a.entry(p)
					if e.set.class != nil && e.set.class.id == g.Class && was != nil && was.set.class != nil && was.set.class.id == g.Class {
						tell(p.prefix(), g.Before, g.After)
						n++
					} else if slices.Contains(g.Examples, p.prefix()) {
						t.Fatalf("%s: %s is no example of the group", r, p.prefix())
					}
				}
				if n != g.Prefixes || len(g.Examples) != min(n, maxExamples) {
					t.Fatalf("%s: a group of %d prefixes, %d are told, %d examples", r, n, g.Prefixes, len(g.Examples))
				}
			}
			for c := range d.Entries() {
				tell(c.Prefix, c.Before, c.After)
			}
			if fmt.Sprint(have) != fmt.Sprint(want) {
				t.Fatalf("%s: the difference gives %v, want %v", r, have, want)
			}
		}
	})
}

// A link's failure is told by class, however many prefixes are behind it.
func TestADifferenceOfALinkIsOfGroups(t *testing.T) {
	f := NewFold("log")
	var events []eventlog.Event
	for i := range 1000 {
		r := announcing(fmt.Sprintf("10.%d.%d.0/24", i/256, i%256), "192.0.2.1")
		r.Router = "r2"
		events = append(events, r)
	}
	l := &eventlog.LinkSet{LinkID: eventlog.LinkID{A: "r1", B: "r2"}, CostAB: 1, CostBA: 1, InterfaceA: "to-b", InterfaceB: "to-a"}
	mustApply(t, f, &eventlog.Commit{Revision: 1, Time: 1, Events: append(events, l)})
	a := f.State()
	down := *l
	down.Down = true
	mustApply(t, f, &eventlog.Commit{Revision: 2, Time: 2, Events: []eventlog.Event{&down}})
	b := f.State()
	d := b.FIB("r1", nil).Difference(a.FIB("r1", nil))
	if len(d.Groups) != 1 || d.Groups[0].Prefixes != 1000 || d.Groups[0].After != nil || len(d.Groups[0].Before) != 1 || len(d.Groups[0].Examples) != 3 {
		t.Errorf("%+v", d.Groups)
	}
	for e := range d.Entries() {
		t.Fatalf("%v is told apart", e)
	}
}

// However much of IPv4 there is, a group that has IPv6 alone is told with examples.
func TestGroupsOfIPv6HaveExamples(t *testing.T) {
	f := NewFold("log")
	var events []eventlog.Event
	for i := range exampleScan + 10 {
		events = append(events, announcing(fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255), "192.0.2.1"))
	}
	for i := range 5 {
		r := announcing(fmt.Sprintf("2001:db8:%x::/48", i), "2001:db8::1")
		r.Router = "r2"
		events = append(events, r)
	}
	mixed := announcing("2001:db8:ff::/48", "192.0.2.9")
	mixed.Router = "r2"
	first := announcing("9.0.0.0/8", "192.0.2.9")
	first.Router = "r2"
	l := &eventlog.LinkSet{LinkID: eventlog.LinkID{A: "r1", B: "r2"}, CostAB: 1, CostBA: 1, InterfaceA: "to-b", InterfaceB: "to-a"}
	mustApply(t, f, &eventlog.Commit{Revision: 1, Time: 1, Events: append(events, mixed, first, l)})
	a := f.State()
	down := *l
	down.Down = true
	mustApply(t, f, &eventlog.Commit{Revision: 2, Time: 2, Events: []eventlog.Event{&down}})
	d := f.State().FIB("r1", nil).Difference(a.FIB("r1", nil))
	got := map[string]bool{}
	for _, g := range d.Groups {
		got[fmt.Sprint(g.Prefixes, g.Examples)] = true
	}
	if len(d.Groups) != 2 || !got["5 [2001:db8::/48 2001:db8:1::/48 2001:db8:2::/48]"] || !got["2 [9.0.0.0/8 2001:db8:ff::/48]"] {
		t.Errorf("%v", got)
	}
}

// Iterations end when they are left.
func TestDifferencesCanBeLeft(t *testing.T) {
	f := NewFold("log")
	a := f.State()
	mustApply(t, f, &eventlog.Commit{Revision: 1, Time: 1, Events: []eventlog.Event{
		announcing("10.0.0.0/8", "192.0.2.1"), announcing("10.1.0.0/16", "192.0.2.1"), announcing("2001:db8::/32", "2001:db8::1"), &eventlog.KeyPut{Key: "a", Value: "1"}, &eventlog.KeyPut{Key: "b", Value: "1"},
	}})
	b := f.State()
	n := 0
	for range b.RouteChanges(a) {
		n++
		break
	}
	for range b.ItemChanges(a) {
		n++
		break
	}
	for range b.FIB("r1", nil).Difference(a.FIB("r1", nil)).Entries() {
		n++
		break
	}
	if n != 3 {
		t.Error(n)
	}
}
