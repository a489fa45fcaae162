package projector

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"dvr/eventlog"
	"dvr/projector/internal/reference"
)

func TestBreaches(t *testing.T) {
	p := netip.MustParsePrefix
	of := func(r *eventlog.RouteAnnounced, router eventlog.RouterID, origin string) *eventlog.RouteAnnounced {
		c := *r
		c.Router, c.Origin = router, origin
		return &c
	}
	route := announcing("10.1.0.0/16", "192.0.2.1")
	gone := &eventlog.RouteWithdrawn{RouteID: route.RouteID}
	protect := &eventlog.GuardSet{Name: "g", Type: eventlog.GuardProtected, Prefixes: []netip.Prefix{p("10.0.0.0/8")}}
	ofR1 := *protect
	ofR1.Routers = []eventlog.RouterID{"r1"}
	most := func(origin, actor string, n uint64) *eventlog.GuardSet {
		return &eventlog.GuardSet{Name: "g", Type: eventlog.GuardMaxRoutes, Origin: origin, Actor: actor, Limit: n}
	}
	for _, c := range []struct {
		name    string
		policy  eventlog.Event
		change  eventlog.Event
		refused bool
	}{
		{"protected: withdrawn", protect, gone, true},
		{"protected: itself", protect, announcing("10.0.0.0/8", "192.0.2.1"), true},
		{"protected: what covers it", protect, announcing("0.0.0.0/0", "192.0.2.1"), false},
		{"protected: beside", protect, announcing("11.0.0.0/8", "192.0.2.1"), false},
		{"protected at r1: *", &ofR1, gone, true},
		{"protected at r1: r1", &ofR1, of(route, "r1", "static"), true},
		{"protected at r1: r2", &ofR1, of(route, "r2", "static"), false},
		{"protected: a key", protect, &eventlog.KeyPut{Key: "k", Value: "v"}, false},
		{"limit of all", most("", "", 1), announcing("12.0.0.0/8", "192.0.2.1"), true},
		{"limit of all: replaced", most("", "", 1), route, false},
		{"limit of all: withdrawn above it", most("", "", 1), gone, false},
		{"limit of an origin", most("bgp", "", 1), of(announcing("12.0.0.0/8", "192.0.2.1"), "*", "bgp"), false},
		{"limit of an origin reached", most("static", "", 1), announcing("12.0.0.0/8", "192.0.2.1"), true},
		{"limit of another actor", most("", "bob", 1), announcing("12.0.0.0/8", "192.0.2.1"), false},
		{"limit of the actor", most("", "test", 0), announcing("12.0.0.0/8", "192.0.2.1"), true},
		{"frozen", &eventlog.FreezeSet{Name: "g"}, route, true},
		{"frozen: a link", &eventlog.FreezeSet{Name: "g"}, &eventlog.LinkSet{LinkID: eventlog.LinkID{A: "a", B: "b"}}, true},
		{"frozen: a key", &eventlog.FreezeSet{Name: "g"}, &eventlog.KeyPut{Key: "k", Value: "v"}, false},
		{"frozen: its own end", &eventlog.FreezeSet{Name: "g"}, &eventlog.FreezeRemoved{Name: "g"}, false},
		{"frozen: what is observed", &eventlog.FreezeSet{Name: "g"}, &eventlog.LinkObserved{LinkID: eventlog.LinkID{A: "a", B: "b"}}, false},
		{"frozen later", &eventlog.FreezeSet{Name: "g", From: 1_800_000_900_000}, route, false},
		{"frozen until before", &eventlog.FreezeSet{Name: "g", Until: 1_700_000_000_000}, route, false},
		{"frozen prefix", &eventlog.FreezeSet{Name: "g", Prefixes: []netip.Prefix{p("10.1.0.0/16")}}, route, true},
		{"frozen prefix: a router", &eventlog.FreezeSet{Name: "g", Prefixes: []netip.Prefix{p("10.1.0.0/16")}}, &eventlog.RouterSet{Router: "r1"}, false},
		{"frozen router", &eventlog.FreezeSet{Name: "g", Routers: []eventlog.RouterID{"r1"}}, &eventlog.RouterSet{Router: "r1"}, true},
		{"frozen router: another's route", &eventlog.FreezeSet{Name: "g", Routers: []eventlog.RouterID{"r1"}}, of(route, "r2", "static"), false},
		{"frozen router: everybody's route", &eventlog.FreezeSet{Name: "g", Routers: []eventlog.RouterID{"r1"}}, route, true},
	} {
		f := NewFold("log")
		mustApply(t, f, commit(1, route), commit(2, c.policy))
		s := f.State()
		var census Census
		k := commit(3, c.change)
		k.Actor = "test"
		got := s.Policy().Breaches(s, k, census.At(s))
		if (len(got) > 0) != c.refused || c.refused && (got[0].Name != "g" || got[0].Text == "") {
			t.Errorf("%s: %+v", c.name, got)
		}
		if s.Policy().Idle() {
			t.Errorf("%s: idle", c.name)
		}
	}
}

func TestShrinkGuards(t *testing.T) {
	f := NewFold("log")
	mustApply(t, f, commit(1, &eventlog.KeyPut{Key: "k", Value: "v"}))
	p := f.State().Policy()
	for _, c := range []struct {
		before, after int
		refused       bool
	}{{1001, 800, true}, {1000, 0, false}, {1001, 801, false}, {2000, 1600, false}, {2000, 1599, true}, {5, 2000, false}} {
		if got := p.Shrinks("r1", c.before, c.after); (len(got) > 0) != c.refused {
			t.Errorf("by default, %d to %d: %v", c.before, c.after, got)
		}
	}
	mustApply(t, f, commit(2, &eventlog.GuardSet{Name: "tight", Type: eventlog.GuardMaxShrink, Percent: 1, Routers: []eventlog.RouterID{"r1"}}))
	p = f.State().Policy()
	if got := p.Shrinks("r1", 100, 98); len(got) != 1 || got[0].Name != "tight" {
		t.Errorf("%v", got)
	}
	if got := p.Shrinks("r2", 5000, 0); len(got) != 0 {
		t.Errorf("another router's: %v", got)
	}
}

// TestMayShrinkMissesNothing: where it says no, no FIB shrinks by more than the
// guard allows, whatever the events.
func TestMayShrinkMissesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		model := reference.New()
		f := NewFold("log")
		var events []eventlog.Event
		for range rapid.IntRange(0, 30).Draw(t, "before") {
			e := reference.World{}.Event(model).Draw(t, "event")
			model.Apply(e)
			events = append(events, e)
		}
		mustApplyRapid(t, f, commitsOf(t, events, 8)...)
		r := f.State().Position().Revision
		guard := &eventlog.GuardSet{Name: "g", Type: eventlog.GuardMaxShrink, Percent: rapid.Uint32Range(1, 100).Draw(t, "percent"), Above: rapid.Uint64Range(0, 5).Draw(t, "above")}
		mustApplyRapid(t, f, commit(r+1, guard))
		s := f.State()
		e := reference.World{}.Event(model).Filter(func(e eventlog.Event) bool { _, seen := e.(*eventlog.LinkObserved); return !seen }).Draw(t, "change")
		after, err := s.Try(commit(0, e))
		if err != nil {
			t.Fatal(err)
		}
		if s.Policy().MayShrink(s, []eventlog.Event{e}) {
			return
		}
		for _, router := range append(slices.Clone(routersAsked), "*") {
			a, b := s.FIB(router, nil).total(), after.FIB(router, nil).total()
			if got := s.Policy().Shrinks(router, a, b); len(got) > 0 {
				t.Fatalf("%s: %v", text(e), got)
			}
		}
	})
}

// TestALinkThatCannotBeSentOverMayShrink: what takes the last interface or address
// of an end away takes tables away as much as what takes the link down.
func TestALinkThatCannotBeSentOverMayShrink(t *testing.T) {
	id := eventlog.LinkID{A: "a", B: "b"}
	there, here := []netip.Addr{netip.MustParseAddr("172.16.0.2")}, []netip.Addr{netip.MustParseAddr("172.16.0.1")}
	whole := &eventlog.LinkSet{LinkID: id, CostAB: 1, CostBA: 1, InterfaceA: "eth0", AddressA: here, AddressB: there}
	f := NewFold("log")
	mustApply(t, f, commit(1, whole))
	s := f.State()
	for _, c := range []struct {
		after *eventlog.LinkSet
		may   bool
	}{
		{&eventlog.LinkSet{LinkID: id, CostAB: 9, CostBA: 9, InterfaceA: "eth0", AddressA: here}, false},
		{&eventlog.LinkSet{LinkID: id, CostAB: 1, CostBA: 1, AddressA: here, AddressB: there}, false},
		{&eventlog.LinkSet{LinkID: id, CostAB: 1, CostBA: 1, InterfaceB: "eth9", AddressB: there}, false},
		{&eventlog.LinkSet{LinkID: id, CostAB: 1, CostBA: 1, AddressA: here}, true},
		{&eventlog.LinkSet{LinkID: id, CostAB: 1, CostBA: 1, InterfaceA: "eth0", AddressB: there}, true},
		{&eventlog.LinkSet{LinkID: id, CostAB: 1, CostBA: 1}, true},
	} {
		if got := s.Policy().MayShrink(s, []eventlog.Event{c.after}); got != c.may {
			t.Errorf("%s: %v", text(c.after), got)
		}
	}
}

func TestCensusCountsFromStateToState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := NewFold("log")
		var census Census
		for _, c := range commitsOf(t, reference.World{}.Events(40).Draw(t, "events"), 6) {
			mustApplyRapid(t, f, c)
			s := f.State()
			want := map[string]int{}
			for d := range s.Destinations(netip.Prefix{}, netip.Prefix{}) {
				for i := range d.Candidates {
					want[d.Candidates[i].Origin]++
				}
			}
			got := census.At(s)
			for _, origin := range []string{"static", "bgp"} {
				if got[origin] != want[origin] {
					t.Fatalf("%s: %d, want %d", origin, got[origin], want[origin])
				}
			}
		}
	})
}
