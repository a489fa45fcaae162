package reference

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"dvr/eventlog"

	"pgregory.net/rapid"
)

var (
	pfx = netip.MustParsePrefix
	ip  = netip.MustParseAddr
)

func announce(router, destination, hop string, metric uint32, more ...func(*eventlog.RouteAnnounced)) *eventlog.RouteAnnounced {
	r := &eventlog.RouteAnnounced{Metric: metric, Preference: 1, Weight: 1}
	r.Router, r.Destination, r.Origin = eventlog.RouterID(router), pfx(destination), "static"
	if hop != "" {
		r.NextHop = ip(hop)
	}
	for _, m := range more {
		m(r)
	}
	return r
}

func recursive(r *eventlog.RouteAnnounced)  { r.Recursive = true }
func viaDefault(r *eventlog.RouteAnnounced) { r.ViaDefault = true }

func preference(p uint8) func(*eventlog.RouteAnnounced) {
	return func(r *eventlog.RouteAnnounced) { r.Preference = p }
}

func link(a, b string, ab, ba uint32) *eventlog.LinkSet {
	l := &eventlog.LinkSet{LinkID: eventlog.LinkID{A: eventlog.RouterID(a), B: eventlog.RouterID(b)}, CostAB: ab, CostBA: ba}
	l.InterfaceA, l.InterfaceB = "to-"+b, "to-"+a
	return l
}

// text is "metric: hop hop" with a hop as its address or >neighbour.
func (d Decision) text() string {
	var parts []string
	for _, h := range d.NextHops {
		s := ">" + string(h.Via)
		switch {
		case h.Type != eventlog.Unicast:
			s = "type" + string('0'+rune(h.Type))
		case h.Via == "":
			s = h.Address.String()
		}
		if h.Weight != 1 {
			s += "*" + netip.AddrFrom4([4]byte{2: byte(h.Weight >> 8), 3: byte(h.Weight)}).String()[4:]
		}
		parts = append(parts, s)
	}
	n := ""
	for m := d.Metric; ; m /= 10 {
		n = string('0'+rune(m%10)) + n
		if m < 10 {
			break
		}
	}
	return n + ": " + strings.Join(parts, " ")
}

// Cases worked out by hand from the decision.
func TestVectors(t *testing.T) {
	const p = "10.1.0.0/16"
	square := []eventlog.Event{link("a", "b", 1, 1), link("a", "c", 1, 1), link("b", "d", 1, 1), link("c", "d", 1, 1)}
	with := func(base []eventlog.Event, more ...eventlog.Event) []eventlog.Event {
		return append(slices.Clone(base), more...)
	}
	observe := func(a, b, by string, s eventlog.ObservedState) eventlog.Event {
		return &eventlog.LinkObserved{LinkID: eventlog.LinkID{A: eventlog.RouterID(a), B: eventlog.RouterID(b)}, Router: eventlog.RouterID(by), State: s}
	}
	for _, c := range []struct {
		name   string
		events []eventlog.Event
		router string
		prefix string
		want   string // "" none
	}{
		{"star route anywhere", []eventlog.Event{announce("*", p, "192.0.2.1", 5)}, "x", p, "5: 192.0.2.1"},
		{"another router's route", []eventlog.Event{announce("b", p, "192.0.2.1", 5)}, "x", p, ""},
		{"lowest metric", []eventlog.Event{announce("*", p, "192.0.2.1", 5), announce("*", p, "192.0.2.2", 4)}, "x", p, "4: 192.0.2.2"},
		{"equal metrics", []eventlog.Event{announce("*", p, "192.0.2.2", 5), announce("*", p, "192.0.2.1", 5)}, "x", p, "5: 192.0.2.1 192.0.2.2"},
		{"preference before metric", []eventlog.Event{announce("*", p, "192.0.2.1", 5), announce("*", p, "192.0.2.2", 4, preference(2))}, "x", p, "5: 192.0.2.1"},
		{"unusable", []eventlog.Event{announce("*", p, "192.0.2.1", eventlog.MetricUnusable)}, "x", p, ""},
		{"one hop", with(square, announce("d", p, "192.0.2.1", 5)), "b", p, "6: >d"},
		{"two ways", with(square, announce("d", p, "192.0.2.1", 5)), "a", p, "7: >b >c"},
		{"two origins", with(square, announce("b", p, "192.0.2.1", 5), announce("c", p, "192.0.2.1", 5)), "d", p, "6: >b >c"},
		{"own and learnt", with(square, announce("a", p, "192.0.2.1", 7), announce("d", p, "192.0.2.1", 5)), "a", p, "7: >b >c 192.0.2.1"},
		{"far but preferred", with(square, announce("a", p, "192.0.2.1", 0, preference(2)), announce("d", p, "192.0.2.1", 9)), "a", p, "11: >b >c"},
		{"cost by direction", []eventlog.Event{link("a", "b", 10, 1), announce("a", p, "192.0.2.1", 0)}, "b", p, "1: >a"},
		{"cost by direction, back", []eventlog.Event{link("a", "b", 10, 1), announce("b", p, "192.0.2.1", 0)}, "a", p, "10: >b"},
		{"link down", with(square, announce("d", p, "192.0.2.1", 5), func() eventlog.Event { l := link("b", "d", 1, 1); l.Down = true; return l }()), "a", p, "7: >c"},
		{"seen down", with(square, announce("d", p, "192.0.2.1", 5), observe("b", "d", "d", eventlog.ObservedDown)), "b", p, "8: >a"},
		{"seen up again", with(square, announce("d", p, "192.0.2.1", 5), observe("b", "d", "d", eventlog.ObservedDown), observe("b", "d", "d", eventlog.ObservedUp)), "b", p, "6: >d"},
		{"drained soft: no transit", with(square, announce("d", p, "192.0.2.1", 5), &eventlog.RouterSet{Router: "b", Drained: eventlog.DrainSoft}), "a", p, "7: >c"},
		{"drained soft: itself reachable", with(square, announce("b", p, "192.0.2.1", 5), &eventlog.RouterSet{Router: "b", Drained: eventlog.DrainSoft}), "a", p, "6: >b"},
		{"drained hard", with(square, announce("b", p, "192.0.2.1", 5), &eventlog.RouterSet{Router: "b", Drained: eventlog.DrainHard}), "a", p, ""},
		{"drained hard still learns", with(square, announce("d", p, "192.0.2.1", 5), &eventlog.RouterSet{Router: "b", Drained: eventlog.DrainHard}), "b", p, "6: >d"},
		{"unicast before blackhole", []eventlog.Event{announce("*", p, "", 5, func(r *eventlog.RouteAnnounced) { r.Type = eventlog.Blackhole }), announce("*", p, "192.0.2.1", 5)}, "x", p, "5: 192.0.2.1"},
		{"two origins of one record count once", []eventlog.Event{announce("*", p, "192.0.2.1", 5), announce("*", p, "192.0.2.1", 5, func(r *eventlog.RouteAnnounced) { r.Origin = "bgp" })}, "x", p, "5: 192.0.2.1"},

		{"recursive", []eventlog.Event{announce("*", p, "10.9.0.1", 5, recursive), announce("*", "10.9.0.0/16", "192.0.2.1", 2)}, "x", p, "7: 192.0.2.1"},
		{"recursive without match", []eventlog.Event{announce("*", p, "10.9.0.1", 5, recursive)}, "x", p, ""},
		{"default not asked for", []eventlog.Event{announce("*", p, "10.9.0.1", 5, recursive), announce("*", "0.0.0.0/0", "192.0.2.1", 2)}, "x", p, ""},
		{"default asked for", []eventlog.Event{announce("*", p, "10.9.0.1", 5, recursive, viaDefault), announce("*", "0.0.0.0/0", "192.0.2.1", 2)}, "x", p, "7: 192.0.2.1"},
		// What is taken out stays out, though 10.0.0.0/8 would match then.
		{"through itself", []eventlog.Event{announce("*", p, "10.1.0.1", 5, recursive), announce("*", "10.0.0.0/8", "192.0.2.1", 2)}, "x", p, ""},
		{"through itself only", []eventlog.Event{announce("*", p, "10.1.0.1", 5, recursive), announce("*", p, "192.0.2.1", 50)}, "x", p, "50: 192.0.2.1"},
		{"two on each other", []eventlog.Event{announce("*", p, "10.2.0.1", 5, recursive), announce("*", "10.2.0.0/16", "10.1.0.1", 5, recursive)}, "x", p, ""},
		{"weights multiply", []eventlog.Event{
			announce("*", p, "10.9.0.1", 5, recursive, func(r *eventlog.RouteAnnounced) { r.Weight = 2 }),
			announce("*", "10.9.0.0/16", "192.0.2.1", 2, func(r *eventlog.RouteAnnounced) { r.Weight = 3 }),
		}, "x", p, "7: 192.0.2.1*0.6"},
		{"star route through what is learnt", with(square, announce("*", p, "10.9.0.1", 5, recursive), announce("d", "10.9.0.0/16", "192.0.2.1", 2)), "b", p, "8: >d"},
		{"named route not through what is learnt", with(square, announce("b", p, "10.9.0.1", 5, recursive), announce("d", "10.9.0.0/16", "192.0.2.1", 2)), "b", p, ""},
		{"named recursive route is learnt with its whole metric", with(square, announce("b", p, "10.9.0.1", 5, recursive), announce("b", "10.9.0.0/16", "192.0.2.1", 2)), "a", p, "8: >b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New()
			s.Apply(c.events...)
			d, ok := s.Vectors(eventlog.RouterID(c.router))[eventlog.RouterID(c.router)][pfx(c.prefix)]
			if got := d.text(); ok != (c.want != "") || ok && got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}

// What must hold in every world: groups depend on classes alone, forwarding
// ends, and what a router learnt its neighbour has.
func TestWorldsAreConsistent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New()
		s.Apply(World{}.Events(60).Draw(t, "events")...)
		vectors := s.Vectors(s.Known()...)
		for r, v := range vectors {
			f := v.FIB()
			if len(f.Ambiguous) > 0 {
				t.Fatalf("%s: the group of a class differs at %v", r, f.Ambiguous)
			}
			for p, d := range v {
				if len(d.NextHops) == 0 || len(d.Origins) == 0 {
					t.Fatalf("%s: %v without next hops or origins: %v", r, p, d)
				}
				if class, ok := s.ClassOf(p); !ok || class != d.Class {
					t.Fatalf("%s: class of %v", r, p)
				}
			}
		}
		a := Addresses().Draw(t, "address")
		for r, v := range vectors {
			d, ok := v.Lookup(a)
			for p := range v {
				if p.Contains(a) && (!ok || p.Bits() > d.Prefix.Bits()) {
					t.Fatalf("%s: Lookup(%v) = %v, %v is longer", r, a, d.Prefix, p)
				}
			}
		}
	})
}

// Metrics fall from router to router: a named route is reached without a loop.
func TestMetricsFallHopByHop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New()
		s.Apply(World{NoRecursion: true}.Events(60).Draw(t, "events")...)
		vectors := s.Vectors(s.Known()...)
		for r, v := range vectors {
			for p, d := range v {
				for _, h := range d.NextHops {
					if h.Via == "" || s.Routers[h.Via].Drained == eventlog.DrainSoft {
						continue // a drained one may itself know better than it tells
					}
					if n := vectors[h.Via][p]; n.Preference != d.Preference || n.Metric >= d.Metric {
						t.Fatalf("%s reaches %v at (%d, %d) through %s, which has (%d, %d)", r, p, d.Preference, d.Metric, h.Via, n.Preference, n.Metric)
					}
				}
			}
		}
	})
}

func TestHash(t *testing.T) {
	h := hash([]byte("hello"))
	var want [16]byte
	binary.BigEndian.PutUint64(want[:], 0x5b1e906a48ae1d19)
	binary.BigEndian.PutUint64(want[8:], 0xcbd8a7b341bd9b02)
	if got := h.FillBytes(make([]byte, 16)); string(got) != string(want[:]) {
		t.Errorf("hash(hello) = %x", got)
	}
	if got := (FIB{}).Digest(); got != strings.Repeat("0", 32) {
		t.Errorf("the digest of the empty FIB is %s", got)
	}
}

func TestGeneratedEventsAreValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, e := range (World{}).Events(60).Draw(t, "events") {
			if err := e.Validate(); err != nil {
				t.Fatalf("%#v: %v", e, err)
			}
		}
	})
	// Apart from the checks, whose number and seeds the caller chooses.
	kinds := map[eventlog.Kind]int{}
	for seed := range 200 {
		for _, e := range (World{}).Events(60).Example(seed) {
			kinds[e.Kind()]++
		}
	}
	if len(kinds) < 9 {
		t.Errorf("only %v were drawn", slices.Sorted(maps.Keys(kinds)))
	}
}
