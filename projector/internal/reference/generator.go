package reference

import (
	"fmt"
	"net/netip"
	"slices"

	"dvr/eventlog"

	"pgregory.net/rapid"
)

// Routers is the small world that Events are drawn from.
var Routers = []eventlog.RouterID{"r1", "r2", "r3", "r4", "r5"}

// World says what Events draws.
type World struct {
	// NoRecursion leaves recursive routes out.
	NoRecursion bool
}

// Prefixes draws from few nested prefixes of both families.
func Prefixes() *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		n := rapid.SampledFrom([]int{0, 8, 16, 24, 30, 32}).Draw(t, "length")
		x, y := rapid.IntRange(0, 2).Draw(t, "x"), rapid.IntRange(0, 3).Draw(t, "y")
		if rapid.IntRange(0, 3).Draw(t, "v6") == 0 {
			a := netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::%d", x, y))
			return netip.PrefixFrom(a, n*4).Masked()
		}
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(x), 0, byte(y)}), n).Masked()
	})
}

// Addresses draws addresses that the prefixes contain, and some that they do not.
func Addresses() *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		if rapid.IntRange(0, 15).Draw(t, "far") == 0 {
			return netip.MustParseAddr("192.0.2.1")
		}
		x, y := rapid.IntRange(0, 2).Draw(t, "x"), rapid.IntRange(0, 3).Draw(t, "y")
		if rapid.IntRange(0, 3).Draw(t, "v6") == 0 {
			return netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::%d", x, y))
		}
		return netip.AddrFrom4([4]byte{10, byte(x), 0, byte(y)})
	})
}

// Route draws an announcement that is well formed.
func (w World) Route() *rapid.Generator[*eventlog.RouteAnnounced] {
	return rapid.Custom(func(t *rapid.T) *eventlog.RouteAnnounced {
		r := &eventlog.RouteAnnounced{
			Metric:     rapid.SampledFrom([]uint32{0, 0, 1, 1, 2, 3, 10, eventlog.MetricUnusable - 1, eventlog.MetricUnusable}).Draw(t, "metric"),
			Preference: rapid.SampledFrom([]uint8{1, 1, 1, 1, 0, 2, 255}).Draw(t, "preference"),
			Weight:     rapid.SampledFrom([]uint16{1, 1, 1, 2, 256}).Draw(t, "weight"),
		}
		r.Router = rapid.SampledFrom(append([]eventlog.RouterID{"*", "*"}, Routers...)).Draw(t, "router")
		r.Destination = Prefixes().Draw(t, "destination")
		r.Origin = rapid.SampledFrom([]string{"static", "static", "bgp"}).Draw(t, "origin")
		switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); {
		case kind == 0:
			r.Type = rapid.SampledFrom([]eventlog.RouteType{eventlog.Blackhole, eventlog.Unreachable, eventlog.Prohibit}).Draw(t, "type")
			r.Weight = 1
		case kind == 1:
			r.Interface = rapid.SampledFrom([]string{"wg0", "wg1"}).Draw(t, "interface")
		default:
			r.NextHop = Addresses().Filter(func(a netip.Addr) bool { return a.Is6() || r.Destination.Addr().Is4() }).Draw(t, "next hop")
			if kind < 4 {
				r.Interface = "eth0"
			}
			if kind >= 6 && !w.NoRecursion {
				r.Interface, r.Recursive = "", true
				r.ViaDefault = rapid.IntRange(0, 3).Draw(t, "via default") == 0
			}
		}
		return r
	})
}

// Event draws an event that the state admits: it withdraws what is there and
// observes links that exist, mostly.
func (w World) Event(s *State) *rapid.Generator[eventlog.Event] {
	return rapid.Custom(func(t *rapid.T) eventlog.Event {
		kind := rapid.IntRange(0, 19).Draw(t, "event")
		switch {
		case kind < 3 && len(s.Routes) > 0:
			ids := make([]eventlog.RouteID, 0, len(s.Routes))
			for id := range s.Routes {
				ids = append(ids, id)
			}
			slices.SortFunc(ids, func(a, b eventlog.RouteID) int { return slices.Compare([]byte(fmt.Sprint(a)), []byte(fmt.Sprint(b))) })
			id := rapid.SampledFrom(ids).Draw(t, "route")
			if kind == 0 { // other attributes under the same identity
				r := w.Route().Draw(t, "attributes")
				r.RouteID = id
				if !id.NextHop.IsValid() {
					r.Recursive, r.ViaDefault = false, false
				}
				if id.Interface != "" {
					r.Recursive, r.ViaDefault = false, false
				}
				return r
			}
			return &eventlog.RouteWithdrawn{RouteID: id}
		case kind < 6:
			return drawLink(t)
		case kind < 8 && len(s.Links) > 0:
			ids := make([]eventlog.LinkID, 0, len(s.Links))
			for id := range s.Links {
				ids = append(ids, id)
			}
			slices.SortFunc(ids, func(a, b eventlog.LinkID) int { return slices.Compare([]byte(fmt.Sprint(a)), []byte(fmt.Sprint(b))) })
			id := rapid.SampledFrom(ids).Draw(t, "link")
			if rapid.IntRange(0, 4).Draw(t, "remove") == 0 {
				return &eventlog.LinkRemoved{LinkID: id}
			}
			return &eventlog.LinkObserved{
				LinkID: id, Router: rapid.SampledFrom([]eventlog.RouterID{id.A, id.B}).Draw(t, "observer"),
				State: rapid.SampledFrom([]eventlog.ObservedState{eventlog.ObservedDown, eventlog.ObservedUp, eventlog.ObservedUnknown}).Draw(t, "state"),
			}
		case kind == 8:
			r := rapid.SampledFrom(Routers).Draw(t, "router")
			if rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
				return &eventlog.RouterRemoved{Router: r}
			}
			return &eventlog.RouterSet{Router: r, Drained: rapid.SampledFrom([]eventlog.Drain{eventlog.DrainNone, eventlog.DrainNone, eventlog.DrainSoft, eventlog.DrainHard}).Draw(t, "drained")}
		case kind == 9:
			k := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key")
			if rapid.Bool().Draw(t, "delete") {
				return &eventlog.KeyDeleted{Key: k}
			}
			return &eventlog.KeyPut{Key: k, Value: rapid.SampledFrom([]string{"", "v"}).Draw(t, "value")}
		}
		return w.Route().Draw(t, "route")
	})
}

func drawLink(t *rapid.T) *eventlog.LinkSet {
	i := rapid.IntRange(0, len(Routers)-2).Draw(t, "a")
	j := rapid.IntRange(i+1, len(Routers)-1).Draw(t, "b")
	name := rapid.SampledFrom([]string{"", "", "", "second"}).Draw(t, "name")
	cost := rapid.SampledFrom([]uint32{1, 1, 1, 2, 5, eventlog.MaxLinkCost})
	l := &eventlog.LinkSet{
		LinkID: eventlog.LinkID{A: Routers[i], B: Routers[j], Name: name},
		CostAB: cost.Draw(t, "cost a b"), CostBA: cost.Draw(t, "cost b a"),
		InterfaceA: fmt.Sprintf("to%d%s", j, name[:min(1, len(name))]), InterfaceB: fmt.Sprintf("to%d%s", i, name[:min(1, len(name))]),
		Down: rapid.IntRange(0, 5).Draw(t, "down") == 0,
	}
	address := func(from, to int) (out []netip.Addr) {
		which := rapid.IntRange(0, 4).Draw(t, "addresses")
		if which < 3 {
			out = append(out, netip.AddrFrom4([4]byte{172, 16, byte(from), byte(to)}))
		}
		if which == 0 || which == 3 {
			out = append(out, netip.MustParseAddr(fmt.Sprintf("2001:db8:ffff::%d:%d", from, to)))
		}
		return out
	}
	l.AddressA, l.AddressB = address(i, j), address(j, i)
	switch rapid.IntRange(0, 7).Draw(t, "interfaces") { // without an address, too, nothing can be sent
	case 0:
		l.InterfaceA = ""
	case 1:
		l.InterfaceA, l.InterfaceB = "", ""
	}
	return l
}

// Events draws a sequence, each event one that the state before it admits, and
// the state after it.
func (w World) Events(most int) *rapid.Generator[[]eventlog.Event] {
	return rapid.Custom(func(t *rapid.T) []eventlog.Event {
		s := New()
		var events []eventlog.Event
		for range rapid.IntRange(0, most).Draw(t, "events") {
			e := w.Event(s).Draw(t, "event")
			s.Apply(e)
			events = append(events, e)
		}
		return events
	})
}
