package service

import (
	"context"
	"net/netip"
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
