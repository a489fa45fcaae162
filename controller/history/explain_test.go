package history

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"dvr/eventlog"
	"dvr/projector"
)

// forwarding is a router's FIB as prefix → next hops, and the longest match in it.
func forwarding(st *projector.State, r eventlog.RouterID, a netip.Addr) (netip.Prefix, []projector.NextHop) {
	f := st.FIB(r, nil)
	var best netip.Prefix
	var hops []projector.NextHop
	for d := range st.Vector(r, netip.Prefix{}) {
		if d.Prefix.Contains(a) && (!best.IsValid() || d.Prefix.Bits() > best.Bits()) {
			best, hops = d.Prefix, f.Group(d.Class)
		}
	}
	return best, hops
}

// Each hop of an explanation is what the router's FIB does, the way holds
// exactly the routers that packets can come to, and the outcome is the worst
// that can become of one.
func TestExplanationsAgreeWithTheFIBs(t *testing.T) {
	outcomes := map[Outcome]int{}
	for seed := range uint64(12) {
		w := newWorld(t, seed)
		for range 20 {
			w.some(10)
			st := w.now()
			a := netip.AddrFrom4([4]byte{10, byte(w.rand.IntN(3)), 0, 7})
			if w.rand.IntN(4) == 0 {
				a = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(w.rand.IntN(3))})
			}
			from := w.router()
			e := Explain(st, from, a)
			outcomes[e.Outcome]++
			reached := map[eventlog.RouterID]bool{}
			worst := Delivered
			var walk func(r eventlog.RouterID, way []eventlog.RouterID)
			walk = func(r eventlog.RouterID, way []eventlog.RouterID) {
				if slices.Contains(way, r) {
					worst = Looped
					return
				}
				reached[r] = true
				p, hops := forwarding(st, r, a)
				i := slices.IndexFunc(e.Hops, func(h Hop) bool { return h.Router == r })
				if i < 0 {
					t.Fatalf("%s is not on the way", r)
				}
				h := &e.Hops[i]
				if h.Decided != p.IsValid() || h.Decided && (h.Decision.Prefix != p || !slices.Equal(h.Decision.NextHops, hops) || h.Match.Prefix != p) {
					t.Fatalf("%s forwards %s by %s %v, explained is %+v", r, a, p, hops, h.Decision)
				}
				if !p.IsValid() && worst != Looped {
					worst = NoRoute
				}
				chosen := false
				for _, j := range h.Match.Judged {
					chosen = chosen || j.Chosen
					if j.Why == "" {
						t.Fatalf("no reason at %s: %+v", r, j)
					}
				}
				if h.Decided && !chosen {
					t.Fatalf("%s: nothing is chosen of %+v", r, h.Match.Judged)
				}
				var next []eventlog.RouterID
				for _, n := range hops {
					if n.Via == "" {
						if !slices.Contains(h.Exits, n) {
							t.Fatalf("%s: %v is no exit", r, n)
						}
						if n.Type != eventlog.Unicast && worst == Delivered {
							worst = Discarded
						}
						continue
					}
					if next = append(next, n.Via); !slices.Contains(h.Next, n.Via) {
						t.Fatalf("%s: %s is not next", r, n.Via)
					}
					used := slices.IndexFunc(h.Links, func(l projector.Link) bool {
						return !l.Down && (l.A == r && l.B == n.Via && slices.Contains(l.AddressB, n.Address) || l.B == r && l.A == n.Via && slices.Contains(l.AddressA, n.Address))
					})
					if used < 0 {
						t.Fatalf("%s: no link leads to %v: %+v", r, n, h.Links)
					}
				}
				for _, n := range next {
					walk(n, append(slices.Clone(way), r))
				}
			}
			walk(from, nil)
			if len(reached) != len(e.Hops) || worst != e.Outcome || e.Hops[0].Router != from || e.Cut {
				t.Fatalf("%d hops, %s; want %d, %s", len(e.Hops), e.Outcome, len(reached), worst)
			}
			for _, f := range append(e.facts(st), e.blocking(st)...) {
				if f.revision == 0 || f.revision > w.revision() {
					t.Fatalf("%+v", f)
				}
			}
		}
	}
	if outcomes[Delivered] == 0 || outcomes[NoRoute] == 0 {
		t.Errorf("%v: the worlds are too small", outcomes)
	}
}

func TestExplanationsNameWhatWasPassedOver(t *testing.T) {
	w := newWorld(t, 1)
	low := w.commit(route("r1", "10.0.0.0/8", "192.0.2.1", 1))
	unusable := w.commit(route("r1", "10.1.0.0/16", "192.0.2.2", eventlog.MetricUnusable))
	linked := w.commit(link("r1", "r2", 5, false))
	e := Explain(w.now(), "r2", netip.MustParseAddr("10.1.2.3"))
	if len(e.Hops) != 2 || e.Outcome != Delivered || len(e.Hops[0].Passed) != 1 || e.Hops[0].Passed[0].Prefix.String() != "10.1.0.0/16" {
		t.Fatalf("%+v", e)
	}
	want := []fact{
		{low, Used, "route 10.0.0.0/8 via 192.0.2.1 of r1"}, {unusable, Candidate, "route 10.1.0.0/16 via 192.0.2.2 of r1"}, {linked, Used, "link r1-r2"},
		{low, Used, "route 10.0.0.0/8 via 192.0.2.1 of r1"}, {unusable, Candidate, "route 10.1.0.0/16 via 192.0.2.2 of r1"},
	}
	if got := e.facts(w.now()); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	w.commit(&eventlog.RouteAnnounced{RouteID: eventlog.RouteID{Router: "r1", Origin: eventlog.DefaultOrigin, Destination: netip.MustParsePrefix("10.1.0.0/16"), Type: eventlog.Blackhole}, Preference: 1, Weight: 1})
	if e := Explain(w.now(), "r2", netip.MustParseAddr("10.1.2.3")); e.Outcome != Discarded {
		t.Errorf("%+v", e)
	}
	w.commit(&eventlog.RouterSet{Router: "r1", Drained: eventlog.DrainSoft})
	if got := Explain(w.now(), "r2", netip.MustParseAddr("10.1.2.3")).facts(w.now()); got[len(got)-1] != (fact{w.revision(), Used, "router r1 is drained (soft)"}) {
		t.Errorf("the drain is no reason: %v", got)
	}
}

// Long ways are cut, not followed for ever.
func TestLongWaysAreCut(t *testing.T) {
	w := newWorld(t, 1)
	var events []eventlog.Event
	name := func(i int) eventlog.RouterID { return eventlog.RouterID(fmt.Sprintf("r%04d", i)) }
	for i := range maxHops + 10 {
		events = append(events, &eventlog.LinkSet{LinkID: eventlog.LinkID{A: name(i), B: name(i + 1)}, CostAB: 1, CostBA: 1, InterfaceA: "eth0", InterfaceB: "eth0"})
	}
	w.commit(append(events, route(name(0), "10.0.0.0/8", "192.0.2.1", 1))...)
	if e := Explain(w.now(), name(maxHops+5), netip.MustParseAddr("10.0.0.1")); !e.Cut || len(e.Hops) != maxHops {
		t.Errorf("%d hops", len(e.Hops))
	}
}
