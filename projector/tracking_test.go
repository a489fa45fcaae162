package projector

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"dvr/eventlog"
)

func routeOf(router eventlog.RouterID, destination, nextHop, iface string, recursive bool) *eventlog.RouteAnnounced {
	r := &eventlog.RouteAnnounced{
		RouteID:    eventlog.RouteID{Router: router, Origin: "static", Destination: netip.MustParsePrefix(destination), Interface: iface},
		Preference: 1, Weight: 1, Recursive: recursive,
	}
	if nextHop != "" {
		r.NextHop = netip.MustParseAddr(nextHop)
	}
	return r
}

// What a recursive next hop resolves to follows every event that bears on it,
// and is not looked for again where none did.
func TestResolutionsFollowWhatTheyResolveThrough(t *testing.T) {
	preferred := routeOf("r0001", "10.0.0.0/24", "", "better", false)
	preferred.Preference = 0
	dearer := routeOf("r0001", "10.0.0.0/24", "", "better", false)
	dearer.Preference = 9
	for name, recursive := range map[string]*eventlog.RouteAnnounced{
		"of the router": routeOf("r0001", "10.9.0.0/16", "10.0.0.7", "", true),
		"everywhere":    routeOf(eventlog.AllRouters, "10.9.0.0/16", "10.0.0.7", "", true),
	} {
		t.Run(name, func(t *testing.T) {
			f := NewFold("log")
			s := applyEvents(t, f, linkEvent(1, 2, 1), linkEvent(2, 3, 1), recursive)
			routers := []eventlog.RouterID{"r0001", "r0003"}
			last := map[eventlog.RouterID]*FIB{}
			for _, r := range routers {
				last[r] = s.FIB(r, nil)
			}
			for _, step := range []struct {
				what    string
				event   eventlog.Event
				changes []eventlog.RouterID // whose table of 10.9.0.0/16, with `*`
				same    bool                // the resolution is kept
			}{
				{"a destination that contains the next hop comes", routeOf("r0001", "10.0.0.0/24", "", "eth0", false), routers, false},
				{"one beside it", routeOf("r0001", "10.0.1.0/24", "", "eth0", false), nil, true},
				{"of the other family", routeOf("r0001", "::/0", "", "eth0", false), nil, true},
				{"a key", &eventlog.KeyPut{Key: "k", Value: "v"}, nil, true},
				{"a second candidate", preferred, routers[:1], false},
				{"its attributes", dearer, routers[:1], false},
				{"a longer match", routeOf(eventlog.AllRouters, "10.0.0.6/31", "", "lo", false), routers, false},
				{"it goes", &eventlog.RouteWithdrawn{RouteID: routeOf(eventlog.AllRouters, "10.0.0.6/31", "", "lo", false).RouteID}, routers, false},
				{"a link goes", &eventlog.LinkRemoved{LinkID: linkEvent(1, 2, 1).LinkID}, routers[1:], false},
				{"a link comes", linkEvent(1, 3, 4), routers[1:], false},
				{"a candidate goes", &eventlog.RouteWithdrawn{RouteID: preferred.RouteID}, nil, false},
				{"the destination goes", &eventlog.RouteWithdrawn{RouteID: routeOf("r0001", "10.0.0.0/24", "", "eth0", false).RouteID}, routers, false},
			} {
				was := s
				s = applyEvents(t, f, step.event)
				if same := s.resolution == was.resolution; same != step.same {
					t.Errorf("%s: the resolution is kept: %v", step.what, same)
				}
				fresh := applyEventsFresh(t, s)
				for _, r := range routers {
					now := s.FIB(r, last[r])
					if got, want := now.Digest(), fresh.FIB(r, nil).Digest(); got != want {
						t.Errorf("%s, %s: digest %s, want %s", step.what, r, got, want)
					}
					if name == "everywhere" {
						a, _ := was.Best(r, recursive.Destination)
						b, _ := s.Best(r, recursive.Destination)
						changed := len(a.NextHops) != len(b.NextHops) || len(a.NextHops) > 0 && (a.NextHops[0] != b.NextHops[0])
						expected := false
						for _, x := range step.changes {
							expected = expected || x == r
						}
						if changed != expected {
							t.Errorf("%s, %s: from %v to %v", step.what, r, a.NextHops, b.NextHops)
						}
					}
					last[r] = now
				}
			}
		})
	}
}

func TestContainsIsThatOfPrefixes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(what string) netip.Addr {
			b := [16]byte{0: 0x20, 15: rapid.Byte().Draw(t, what)}
			b[rapid.IntRange(0, 15).Draw(t, "byte")] ^= rapid.Byte().Draw(t, "bits")
			if rapid.Bool().Draw(t, "v6") {
				return netip.AddrFrom16(b)
			}
			return netip.AddrFrom4([4]byte(b[12:]))
		}
		a, base := draw("address"), draw("base")
		p := netip.PrefixFrom(base, rapid.IntRange(0, base.BitLen()).Draw(t, "length")).Masked()
		if got := placeOf(p).contains(placeOfAddr(a)); got != p.Contains(a) {
			t.Fatalf("%s contains %s: %v", p, a, got)
		}
		var tr tracking
		var c class
		c.paths = []path{{nextHop: a, recursive: true}, {nextHop: draw("another")}}
		tr.follow([]*class{&c})
		tr.stale = false
		if tr.changed(placeOf(p)); tr.stale != p.Contains(a) {
			t.Fatalf("%s bears on %s: %v", p, a, tr.stale)
		}
	})
}
