package projector

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"dvr/eventlog"
	"dvr/projector/internal/reference"
)

// drawBase draws a state, and commits that may follow it.
func drawBase(t *rapid.T) (*State, []*eventlog.Commit) {
	events := reference.World{}.Events(50).Draw(t, "events")
	commits := commitsOf(t, events, 8)
	cut := rapid.IntRange(0, len(commits)).Draw(t, "cut")
	f := NewFold("log")
	mustApplyRapid(t, f, commits[:cut]...)
	return f.State(), commits[cut:]
}

func stateBytes(t *rapid.T, s *State) []byte {
	var b bytes.Buffer
	if err := s.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestOverlayFoldsAsTheLogDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, commits := drawBase(t)
		kept := stateBytes(t, base)
		bases := map[eventlog.RouterID]*FIB{}
		for _, r := range routersAsked {
			bases[r] = base.FIB(r, nil)
		}
		over, plain := base.Overlay(), Resume(base)
		for _, c := range commits {
			mustApplyRapid(t, over, c)
			mustApplyRapid(t, plain, c)
			got, want := over.State(), plain.State()
			if got.Digest() != want.Digest() || got.Position() != want.Position() || got.Head() != want.Head() {
				t.Fatalf("revision %d: the overlay is at %v %s, the log at %v %s", c.Revision, got.Position(), got.Digest(), want.Position(), want.Digest())
			}
			g, w := got.Stats(), want.Stats()
			g.Routers, w.Routers = 0, 0
			if g != w {
				t.Fatalf("revision %d: %+v, want %+v", c.Revision, g, w)
			}
			for _, r := range routersAsked {
				x, y := got.FIB(r, bases[r]), want.FIB(r, nil)
				if x.Digest() != y.Digest() {
					t.Fatalf("revision %d: FIB of %s: %s, want %s", c.Revision, r, x.Digest(), y.Digest())
				}
				if a, b := x.total(), y.total(); a != b {
					t.Fatalf("revision %d: FIB of %s: %d prefixes, want %d", c.Revision, r, a, b)
				}
			}
		}
		if !bytes.Equal(kept, stateBytes(t, base)) {
			t.Fatal("the base has changed")
		}
		for r, fib := range bases {
			if again := base.FIB(r, nil); again.Digest() != fib.Digest() {
				t.Fatalf("the base's FIB of %s has changed", r)
			}
		}
	})
}

// tableOf is a FIB as a plain map.
func tableOf(s *State, r eventlog.RouterID) map[netip.Prefix][]NextHop {
	out := map[netip.Prefix][]NextHop{}
	for d := range s.Vector(r, netip.Prefix{}) {
		out[d.Prefix] = d.NextHops
	}
	return out
}

func TestEffectIsTheDifferenceOfTheTables(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, commits := drawBase(t)
		over := base.Overlay()
		var touched []netip.Prefix
		for _, c := range commits {
			mustApplyRapid(t, over, c)
			p, _ := Destinations(c.Events)
			touched = append(touched, p...)
		}
		after := over.State()
		c := Compare(base, after, touched, 1000)
		var effects []*Effect
		for _, r := range routersAsked {
			e, fib := c.Effect(r, nil)
			effects = append(effects, e)
			if fib.Digest() != after.FIB(r, nil).Digest() || e.Digest != fib.Digest() || e.DigestBefore != base.FIB(r, nil).Digest() {
				t.Fatalf("%s: digests %+v", r, e)
			}
		}
		c.Examples(effects)
		for _, e := range effects {
			was, is := tableOf(base, e.Router), tableOf(after, e.Router)
			differ := map[netip.Prefix]bool{}
			added, removed, changed := 0, 0, 0
			for p, b := range is {
				a, ok := was[p]
				switch {
				case !ok:
					added++
				case slices.Equal(a, b):
					continue
				default:
					changed++
				}
				differ[p] = true
			}
			for p := range was {
				if _, ok := is[p]; !ok {
					removed++
					differ[p] = true
				}
			}
			if e.Added != added || e.Removed != removed || e.Changed != changed || e.Before != len(was) || e.After != len(is) {
				t.Fatalf("%s: +%d −%d ~%d of %d to %d; the tables say +%d −%d ~%d of %d to %d", e.Router, e.Added, e.Removed, e.Changed, e.Before, e.After, added, removed, changed, len(was), len(is))
			}
			named := len(e.Entries)
			for i, x := range e.Entries {
				if !differ[x.Prefix] || !slices.Equal(x.Before, was[x.Prefix]) || !slices.Equal(x.After, is[x.Prefix]) {
					t.Fatalf("%s: %+v; the tables say %v and %v", e.Router, x, was[x.Prefix], is[x.Prefix])
				}
				if i > 0 && placeOf(e.Entries[i-1].Prefix).compare(placeOf(x.Prefix)) >= 0 {
					t.Fatalf("%s: entries are not in order", e.Router)
				}
			}
			for _, g := range e.Groups {
				named += g.Prefixes
				if len(g.Examples) != min(namedExamples, g.Prefixes) {
					t.Fatalf("%s: %d examples of %d prefixes", e.Router, len(g.Examples), g.Prefixes)
				}
				for _, p := range g.Examples {
					if !differ[p] || !slices.Equal(g.Before, was[p]) || !slices.Equal(g.After, is[p]) {
						t.Fatalf("%s: example %s of %+v; the tables say %v and %v", e.Router, p, g, was[p], is[p])
					}
				}
			}
			if named != len(differ) {
				t.Fatalf("%s: %d changes are named, the tables differ in %d", e.Router, named, len(differ))
			}
			for _, w := range c.Warnings(e, nil) {
				if w.Kind == WarnLost && w.Prefixes != removed {
					t.Fatalf("%s: %+v, but %d leave the table", e.Router, w, removed)
				}
			}
		}
	})
}

func TestItemIsWhatTheEventIsAbout(t *testing.T) {
	f := NewFold("log")
	route := &eventlog.RouteAnnounced{RouteID: eventlog.RouteID{Router: "*", Destination: netip.MustParsePrefix("10.0.0.0/8"), NextHop: netip.MustParseAddr("192.0.2.1"), Origin: "static"}, Metric: 5, Preference: 1, Weight: 1}
	link := &eventlog.LinkSet{LinkID: eventlog.LinkID{A: "a", B: "b"}, CostAB: 1, CostBA: 1, InterfaceA: "to-b", InterfaceB: "to-a"}
	mustApply(t, f, commit(1, route, link), commit(2, &eventlog.KeyPut{Key: "k", Value: "v"}))
	s := f.State()
	for _, c := range []struct {
		about eventlog.Event
		rev   eventlog.Revision
	}{
		{&eventlog.RouteWithdrawn{RouteID: route.RouteID}, 1},
		{&eventlog.LinkRemoved{LinkID: link.LinkID}, 1},
		{&eventlog.KeyDeleted{Key: "k"}, 2},
		{&eventlog.KeyDeleted{Key: "l"}, 0},
		{&eventlog.LevelRaised{Level: 2}, 0},
		{&eventlog.ClockStepped{From: 1, To: 2}, 0},
	} {
		got := s.Item(c.about)
		if got.Revision != c.rev || (got.Event == nil) != (c.rev == 0) {
			t.Errorf("%T: %+v, want revision %d", c.about, got, c.rev)
		}
	}
	if got := s.Item(&eventlog.RouteWithdrawn{RouteID: route.RouteID}).Event; fmt.Sprint(got) != fmt.Sprint(route) {
		t.Errorf("%v, want %v", got, route)
	}
}

func TestWarningsNameWhatAnOperatorWouldMiss(t *testing.T) {
	p, a := netip.MustParsePrefix, netip.MustParseAddr
	route := func(dest, hop string) *eventlog.RouteAnnounced {
		return &eventlog.RouteAnnounced{RouteID: eventlog.RouteID{Router: "*", Destination: p(dest), NextHop: a(hop), Origin: "static"}, Preference: 1, Weight: 1}
	}
	recursive := func(dest, hop string) *eventlog.RouteAnnounced {
		r := route(dest, hop)
		r.Recursive = true
		return r
	}
	hole := &eventlog.RouteAnnounced{RouteID: eventlog.RouteID{Router: "*", Destination: p("0.0.0.0/0"), Type: eventlog.Blackhole, Origin: "static"}, Preference: 1, Weight: 1}
	gone := func(r *eventlog.RouteAnnounced) eventlog.Event { return &eventlog.RouteWithdrawn{RouteID: r.RouteID} }
	direct, far := route("10.0.0.0/8", "192.0.2.1"), recursive("20.0.0.0/8", "10.1.1.1")
	for _, c := range []struct {
		name   string
		before []eventlog.Event
		change []eventlog.Event
		want   []string // kind and text
	}{
		{"a route with nothing below", []eventlog.Event{direct}, []eventlog.Event{gone(direct)},
			[]string{"prefix-lost 10.0.0.0/8 leaves the table, and nothing covers it", "management 10.9.9.9 is not reached any more"}},
		{"a route above a blackhole", []eventlog.Event{direct, hole}, []eventlog.Event{gone(direct)},
			[]string{"prefix-lost 10.0.0.0/8 leaves the table, falling to 0.0.0.0/0", "blackhole 1 prefix once forwarded to: now discarded", "management 10.9.9.9 is reached otherwise"}},
		{"the route that resolves another", []eventlog.Event{direct, far}, []eventlog.Event{gone(direct)},
			[]string{"prefix-lost 2 prefixes leave the table, and nothing covers the first", "unresolved recursive next hop 10.1.1.1 of 1 prefix does not resolve", "management 10.9.9.9 is not reached any more"}},
		{"a loop", []eventlog.Event{direct, far}, []eventlog.Event{recursive("10.1.1.0/24", "20.0.0.1")},
			[]string{"prefix-lost 20.0.0.0/8 leaves the table, and nothing covers it",
				"recursion-loop recursive next hop 10.1.1.1 of 1 prefix resolves through its own route",
				"recursion-loop recursive next hop 20.0.0.1 of 1 prefix resolves through its own route"}},
		{"nothing of note", []eventlog.Event{direct}, []eventlog.Event{route("11.0.0.0/8", "192.0.2.2")}, nil},
	} {
		f := NewFold("log")
		mustApply(t, f, commit(1, c.before...))
		base := f.State()
		after, err := base.Try(commit(2, c.change...))
		if err != nil {
			t.Fatal(err)
		}
		touched, _ := Destinations(c.change)
		x := Compare(base, after, touched, 10)
		e, _ := x.Effect("r1", nil)
		x.Examples([]*Effect{e})
		var got []string
		for _, w := range x.Warnings(e, []netip.Addr{a("10.9.9.9")}) {
			got = append(got, w.Kind+" "+w.Text)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got  %q\n want %q", c.name, got, c.want)
		}
	}
}
