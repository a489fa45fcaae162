package demo

import (
	"fmt"
	"net/netip"

	"dvr/eventlog"
)

// routers of the network. Those with data planes take the Internet's routes in.
var (
	routers = []eventlog.RouterID{"ams", "ber", "fra", "lon", "mad", "mil", "par", "sto", "vie"}
	borders = []eventlog.RouterID{"ams", "fra", "lon"}
)

// description of a router, in the order of routers.
var descriptions = []string{"Amsterdam", "Berlin", "Frankfurt", "London", "Madrid", "Milan", "Paris", "Stockholm", "Vienna"}

var links = []struct {
	a, b eventlog.RouterID
	cost uint32
}{
	{"ams", "ber", 10}, {"ams", "fra", 6}, {"ams", "lon", 6}, {"ams", "sto", 18}, {"ber", "fra", 8}, {"ber", "sto", 14}, {"ber", "vie", 9},
	{"fra", "mil", 9}, {"fra", "par", 8}, {"fra", "vie", 10}, {"lon", "par", 5}, {"mad", "mil", 18}, {"mad", "par", 16}, {"mil", "vie", 10},
}

// network is the events that declare routers, links, and the own networks of
// the routers: 10.1.0.0/16 of the first, and so on.
func network() []eventlog.Event {
	var out []eventlog.Event
	for i, r := range routers {
		tags := []string{"core"}
		for _, b := range borders {
			if r == b {
				tags = []string{"border", "core"}
			}
		}
		out = append(out, &eventlog.RouterSet{Router: r, Description: descriptions[i], Tags: tags})
	}
	for i, l := range links {
		address := func(side byte) []netip.Addr {
			return []netip.Addr{
				netip.AddrFrom4([4]byte{172, 31, byte(i), side}),
				netip.MustParseAddr(fmt.Sprintf("fd31::%x:%d", i, side)),
			}
		}
		out = append(out, &eventlog.LinkSet{
			LinkID: eventlog.LinkID{A: l.a, B: l.b}, CostAB: l.cost, CostBA: l.cost, AddressA: address(1), AddressB: address(2),
			InterfaceA: "to-" + string(l.b), InterfaceB: "to-" + string(l.a),
		})
	}
	for i, r := range routers {
		own := byte(i + 1)
		out = append(out, &eventlog.RouteAnnounced{
			RouteID: eventlog.RouteID{
				Router: r, Destination: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, own, 0, 0}), 16),
				NextHop: netip.AddrFrom4([4]byte{192, 168, own, 1}), Origin: eventlog.DefaultOrigin,
			},
			Preference: eventlog.DefaultPreference, Weight: eventlog.DefaultWeight, Tags: []string{"site"},
		})
	}
	return out
}
