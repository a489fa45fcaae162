package service

import (
	"errors"
	"net/netip"
	"testing"

	"dvr/eventlog"
)

// What is not found is told with what is there.
func TestWhatIsNotFoundNamesWhatIsThere(t *testing.T) {
	s, _ := newService(t)
	n := 0 // of mutations: each has an id of its own
	for _, line := range []string{
		`{"kind":"route.announced","router":"r1","destination":"10.0.0.0/8","next_hop":"192.168.1.1"}`,
		`{"kind":"route.announced","router":"r2","destination":"10.1.0.0/16","type":"blackhole"}`,
		`{"kind":"route.announced","destination":"10.2.0.0/16","next_hop":"192.168.1.2"}`,
	} {
		n++
		if _, err := s.PutRoute(t.Context(), mutationOf(n), mustRoute(t, line)); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(destination string, f RouteFilter) error {
		n++
		_, err := s.DeleteRoutes(t.Context(), mutationOf(n), netip.MustParsePrefix(destination), f)
		return err
	}
	lookup := func(router eventlog.RouterID, a string) error {
		_, err := s.Lookup(t.Context(), Read{}, router, netip.MustParseAddr(a), false)
		return err
	}
	wrong := RouteFilter{NextHop: netip.MustParseAddr("192.168.9.9")}
	for _, test := range []struct {
		err  error
		want string
	}{
		{remove("10.2.0.0/16", wrong), "route 10.2.0.0/16 has no such candidate, but next hop 192.168.1.2: not found"},
		{remove("10.1.0.0/16", wrong), "route 10.1.0.0/16 has no such candidate, but blackhole of router r2: not found"},
		{remove("10.3.0.0/16", wrong), "route 10.3.0.0/16: not found"},
		{remove("10.2.0.0/16", RouteFilter{Router: "nobody"}), "router nobody: unknown router"},
		{lookup(eventlog.AllRouters, "10.1.0.1"), "a route to 10.1.0.1 at router *: not found; router r2 has 10.1.0.0/16 of its own, ask about router r2"},
		{lookup(eventlog.AllRouters, "10.9.0.1"), "a route to 10.9.0.1 at router *: not found; router r1 has 10.0.0.0/8 of its own, ask about router r1"},
		{lookup(eventlog.AllRouters, "11.0.0.1"), "a route to 11.0.0.1 at router *: not found"},
		{lookup("r2", "10.9.0.1"), "a route to 10.9.0.1 at router r2: not found"},
	} {
		if !errors.Is(test.err, ErrNotFound) || test.err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", test.err, test.want)
		}
	}
	d, err := s.Route(t.Context(), Read{}, netip.MustParsePrefix("10.0.0.0/8"), eventlog.AllRouters)
	if err != nil || len(d.Judged) != 1 || d.Judged[0].Why != "router r1's own: ask about router r1" {
		t.Errorf("%+v %v", d.Judged, err)
	}
	d, err = s.Route(t.Context(), Read{}, netip.MustParsePrefix("10.0.0.0/8"), "r2")
	if err != nil || len(d.Judged) != 1 || d.Judged[0].Why != "router r1 cannot be reached" {
		t.Errorf("%+v %v", d.Judged, err)
	}
}
