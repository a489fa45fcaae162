package service

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"dvr/eventlog"
)

// TestNoGateway: what no neighbour can have is refused where it is announced;
// a log that holds it is read, and it can be withdrawn.
func TestNoGateway(t *testing.T) {
	for address, refused := range map[string]bool{
		"0.0.0.1": true, "0.255.255.255": true, "240.0.0.0": true, "255.255.255.254": true, "::2": true, "::192.0.2.1": true, "::ffff": true,
		"1.0.0.0": false, "192.0.2.1": false, "239.255.255.255": false, // multicast is the format's to refuse
		"2001:db8::1": false, "fe80::1": false, "100::1": false, "64:ff9b::192.0.2.1": false, "0:0:0:0:0:1::": false,
	} {
		if got := noGateway(netip.MustParseAddr(address)); (got != "") != refused {
			t.Errorf("%s: %q", address, got)
		}
	}
	id := eventlog.RouteID{Router: eventlog.AllRouters, Destination: netip.MustParsePrefix("10.0.0.0/8"), NextHop: netip.MustParseAddr("240.0.0.1"), Origin: eventlog.DefaultOrigin}
	stored := &eventlog.RouteAnnounced{RouteID: id, Weight: 1}
	if e, err := eventlog.DecodeEvent(eventlog.AppendEvent(nil, stored)); err != nil || e.Validate() != nil {
		t.Errorf("a stored route: %v", err)
	}
	if err := supported(stored); err == nil {
		t.Error("announced")
	}
	s, _ := newService(t)
	if _, err := s.Commit(context.Background(), &Mutation{Actor: "a"}, []eventlog.Event{&eventlog.RouteWithdrawn{RouteID: id}}); err != nil {
		t.Errorf("withdrawn: %v", err)
	}
}

// TestForwardable: what is refused as a destination, and what beside it is not:
// defaults, their halves, blackholes, and what a log holds.
func TestForwardable(t *testing.T) {
	for prefix, refused := range map[string]bool{
		"0.0.0.0/0": false, "0.0.0.0/1": false, "0.0.0.0/7": false, "0.0.0.0/8": true, "0.1.0.0/16": true, "0.0.0.0/32": true, "1.0.0.0/8": false,
		"126.0.0.0/7": false, "127.0.0.0/8": true, "128.0.0.0/1": false, "224.0.0.0/3": true, "240.0.0.0/4": true, "223.255.255.0/24": false,
		"::/0": false, "::/1": false, "8000::/1": false, "::1/128": true, "::/128": false,
		"fe80::/10": true, "fe80::/9": false, "fe80::/64": true, "febf:ffff::/32": true, "fec0::/10": false, "fc00::/7": false, "fd00::/8": false, "ff00::/8": true,
	} {
		err := forwardable(netip.MustParsePrefix(prefix))
		var f *eventlog.FieldError
		if (err != nil) != refused || refused && (!errors.As(err, &f) || f.Field != "destination") {
			t.Errorf("%s: %v", prefix, err)
		}
	}
	s, _ := newService(t)
	for _, prefix := range []string{"0.0.0.0/8", "fe80::/10"} {
		id := eventlog.RouteID{Router: eventlog.AllRouters, Destination: netip.MustParsePrefix(prefix), Type: eventlog.Blackhole, Origin: eventlog.DefaultOrigin}
		if _, err := s.PutRoute(context.Background(), &Mutation{Actor: "a"}, &eventlog.RouteAnnounced{RouteID: id, Weight: 1}); err != nil {
			t.Errorf("a blackhole for %s: %v", prefix, err)
		}
		id.Type, id.NextHop = eventlog.Unicast, netip.MustParseAddr("2001:db8::1")
		stored := &eventlog.RouteAnnounced{RouteID: id, Weight: 1}
		if e, err := eventlog.DecodeEvent(eventlog.AppendEvent(nil, stored)); err != nil || e.Validate() != nil {
			t.Errorf("a stored route to %s is not read: %v", prefix, err)
		}
		if _, err := s.Commit(context.Background(), &Mutation{Actor: "a"}, []eventlog.Event{&eventlog.RouteWithdrawn{RouteID: id}}); err != nil {
			t.Errorf("a stored route to %s cannot be withdrawn: %v", prefix, err)
		}
	}
}

// TestOnlyItselfResolves: a recursive route whose next hop is its own is refused
// alone, and taken with what resolves it there, before it or in the same commit.
func TestOnlyItselfResolves(t *testing.T) {
	route := func(router, destination, hop, iface string, recursive, viaDefault bool) *eventlog.RouteAnnounced {
		r := &eventlog.RouteAnnounced{RouteID: eventlog.RouteID{
			Router: eventlog.RouterID(router), Destination: netip.MustParsePrefix(destination), Interface: iface, Origin: eventlog.DefaultOrigin,
		}, Preference: 1, Weight: 1, Recursive: recursive, ViaDefault: viaDefault}
		if hop != "" {
			r.NextHop = netip.MustParseAddr(hop)
		}
		return r
	}
	ctx := context.Background()
	for _, c := range []struct {
		name    string
		there   []*eventlog.RouteAnnounced
		r       *eventlog.RouteAnnounced
		refused bool
	}{
		{"nothing else", nil, route("*", "10.8.0.0/16", "10.8.0.1", "", true, false), true},
		{"not recursive: on the link", nil, route("*", "10.8.0.0/16", "10.8.0.1", "", false, false), false},
		{"a next hop elsewhere", nil, route("*", "10.8.0.0/16", "10.9.0.1", "", true, false), false},
		{"a longer one", []*eventlog.RouteAnnounced{route("*", "10.8.0.0/24", "", "eth0", false, false)}, route("*", "10.8.0.0/16", "10.8.0.1", "", true, false), false},
		{"a shorter one", []*eventlog.RouteAnnounced{route("*", "10.0.0.0/8", "192.0.2.1", "", false, false)}, route("*", "10.8.0.0/16", "10.8.0.1", "", true, false), false},
		{"the default, which does not count", []*eventlog.RouteAnnounced{route("*", "0.0.0.0/0", "192.0.2.1", "", false, false)}, route("*", "10.8.0.0/16", "10.8.0.1", "", true, false), true},
		{"the default, which does", []*eventlog.RouteAnnounced{route("*", "0.0.0.0/0", "192.0.2.1", "", false, false)}, route("*", "10.8.0.0/16", "10.8.0.1", "", true, true), false},
		{"another candidate of it", []*eventlog.RouteAnnounced{route("*", "10.8.0.0/16", "192.0.2.1", "", false, false)}, route("*", "10.8.0.0/16", "10.8.0.1", "", true, false), true},
		{"another router's", []*eventlog.RouteAnnounced{route("r2", "10.8.0.0/24", "", "eth0", false, false)}, route("r1", "10.8.0.0/16", "10.8.0.1", "", true, false), true},
		{"its router's", []*eventlog.RouteAnnounced{route("r1", "10.8.0.0/24", "", "eth0", false, false)}, route("r1", "10.8.0.0/16", "10.8.0.1", "", true, false), false},
		{"a router's, of a route of all", []*eventlog.RouteAnnounced{route("r1", "10.8.0.0/24", "", "eth0", false, false)}, route("*", "10.8.0.0/16", "10.8.0.1", "", true, false), false},
	} {
		s, _ := newService(t)
		m := &Mutation{Actor: "a"}
		for _, r := range c.there {
			if _, err := s.PutRoute(ctx, m, r); err != nil {
				t.Fatal(err)
			}
		}
		_, put := s.PutRoute(ctx, m, c.r)
		_, replaced := s.ReplaceRoutes(ctx, m, c.r.Router, c.r.Destination, []*eventlog.RouteAnnounced{c.r})
		for name, err := range map[string]error{"put": put, "replaced": replaced} {
			var f *eventlog.FieldError
			if (err != nil) != c.refused || c.refused && (!errors.As(err, &f) || !strings.HasSuffix(f.Field, "next_hop")) {
				t.Errorf("%s, %s: %v", c.name, name, err)
			}
		}
		if _, err := s.Commit(ctx, m, []eventlog.Event{c.r}); (err != nil) != c.refused || c.refused && !strings.Contains(err.Error(), "events[0].next_hop") {
			t.Errorf("%s, in a commit: %v", c.name, err)
		}
		// It is taken where it is not the only one, and then it forwards.
		if d, ok := s.appender.State().Best(c.r.Router, c.r.Destination); !c.refused && !ok && c.r.Router != eventlog.AllRouters {
			t.Errorf("%s: taken, and unusable: %+v", c.name, d)
		}
	}
}
