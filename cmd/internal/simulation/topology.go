package simulation

import (
	"fmt"
	"net/netip"

	"dvr/eventlog"
)

// Topology is routers and what connects them, as events.
type Topology struct {
	Routers []eventlog.RouterID // in the order in which they were named
	Drained []*eventlog.RouterSet
	Links   []*eventlog.LinkSet
	Routes  []*eventlog.RouteAnnounced // that the file gives, besides those of Prefixes
	known   map[eventlog.RouterID]bool
}

func (t *Topology) router(id eventlog.RouterID) {
	if t.known == nil {
		t.known = map[eventlog.RouterID]bool{}
	}
	if !t.known[id] {
		t.known[id] = true
		t.Routers = append(t.Routers, id)
	}
}

// link adds a link between two routers, which are added where they are new.
func (t *Topology) link(a, b eventlog.RouterID, name string, there, back uint32) {
	t.router(a)
	t.router(b)
	if a > b {
		a, b, there, back = b, a, back, there
	}
	t.connect(&eventlog.LinkSet{LinkID: eventlog.LinkID{A: a, B: b, Name: name}, CostAB: there, CostBA: back})
}

// connect takes a link in. An end that is given neither an interface nor its
// neighbour's address gets an interface: what nobody can send over is no link.
func (t *Topology) connect(l *eventlog.LinkSet) {
	iface := fmt.Sprintf("sim%d", len(t.Links))
	if l.InterfaceA == "" && len(l.AddressB) == 0 {
		l.InterfaceA = iface
	}
	if l.InterfaceB == "" && len(l.AddressA) == 0 {
		l.InterfaceB = iface
	}
	t.Links = append(t.Links, l)
}

// Events declares everything, with so many prefixes of each router's own.
func (t *Topology) Events(prefixes int) (events []eventlog.Event) {
	for _, r := range t.Drained {
		events = append(events, r)
	}
	for _, l := range t.Links {
		events = append(events, l)
	}
	for _, r := range t.Routes {
		events = append(events, r)
	}
	for i, r := range t.Routers {
		for p := range prefixes {
			events = append(events, ownRoute(r, i*prefixes+p))
		}
	}
	return events
}

// ownRoute is the route of a router to its n-th network, a /48 of its own.
func ownRoute(r eventlog.RouterID, n int) *eventlog.RouteAnnounced {
	a := [16]byte{0: 0x20, 1: 0x01, 2: byte(n >> 24), 3: byte(n >> 16), 4: byte(n >> 8), 5: byte(n)}
	return &eventlog.RouteAnnounced{
		RouteID: eventlog.RouteID{
			Router: r, Origin: eventlog.DefaultOrigin, Interface: "lan",
			Destination: netip.PrefixFrom(netip.AddrFrom16(a), 48),
		},
		Preference: eventlog.DefaultPreference, Weight: eventlog.DefaultWeight,
	}
}

func named(kind string, n int) eventlog.RouterID {
	return eventlog.RouterID(fmt.Sprintf("%s%d", kind, n))
}
