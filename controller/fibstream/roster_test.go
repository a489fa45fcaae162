package fibstream

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dvr/controller/fibpb"
	"dvr/controller/fibstream/fibtest"
	"dvr/eventlog"
)

// TestRosterOutlivesTheController: who was connected is named by the next
// controller until it comes back, whatever became of the one before.
func TestRosterOutlivesTheController(t *testing.T) {
	s := newSource(t, logA, 1)
	s.commit(t, manyRoutes(10)...)
	first := start(t, s, Options{})
	planes := map[string]*fibtest.Plane{}
	cuts := map[string]func(){}
	for _, r := range []string{"r1", "r2", "r3"} {
		planes[r] = fibtest.NewPlane(r, "i")
		cuts[r] = first.connect(t, planes[r], nil)
		first.synced(t, planes[r])
		first.acked(t, r)
	}
	cuts["r2"]() // left a day before the end
	first.clock.advance(20 * time.Hour)
	cuts["r3"]()
	first.clock.advance(5 * time.Hour)
	roster := first.server.Roster()
	var told []string
	for _, m := range roster {
		if m.Instance != "i" || m.Position != s.State().Position() || !m.DigestEqual || !slices.Equal(m.Sinks, []string{"memory"}) {
			t.Errorf("kept of %s: %+v", m.Router, m)
		}
		if m.Connected {
			told = append(told, string(m.Router)+" connected")
		} else {
			told = append(told, string(m.Router))
		}
	}
	if want := []string{"r1 connected", "r3"}; !slices.Equal(told, want) {
		t.Fatalf("the roster is %v, want %v", told, want)
	}

	second := start(t, s, Options{Roster: roster, Now: first.clock.Now})
	p := prefix("172.16.0.0/12")
	rev := s.commit(t, route("*", p.String(), "192.168.0.9", 5))
	got, err := second.server.WaitInstalled(second.ctx, rev, []netip.Prefix{p}, nil)
	if err != nil {
		t.Fatal(err)
	}
	expectInstalled(t, got, nil, routers("r1", "r3"), nil, nil)
	l := second.server.List()
	if len(l) != 2 || l[0].Connected || l[0].Lag != 1 || !l[0].Since.Equal(first.clock.Now()) || !l[1].Since.Equal(first.clock.Now().Add(-5*time.Hour)) || len(l[0].Sinks) != 1 {
		t.Errorf("listed are %+v", l)
	}
	if !second.server.Known("r1") || second.server.Known("r2") {
		t.Error("a router of the roster is not known, or one that left too long ago is")
	}
	if c := second.server.Claims(); len(c) != 1 || c[0].Router != "r1" || c[0].Connected || c[0].Stamp != roster[0].Stamp {
		t.Errorf("claimed are %+v", c)
	}
	// Its router is held for who was connected, for as long as for one that just left.
	stranger := func(r string) error {
		conn := second.dial()
		stream, err := fibtest.NewPlane(r, "other").Connect(second.ctx, conn, nil)
		if err == nil {
			stream.Cut()
			second.gone(t, r)
		}
		return err
	}
	if err := stranger("r1"); status.Code(err) != codes.AlreadyExists {
		t.Errorf("another instance as r1: %v", err)
	}
	if err := stranger("r3"); err != nil {
		t.Errorf("another instance as r3, gone for hours: %v", err)
	}
	second.connect(t, planes["r1"], nil)
	second.synced(t, planes["r1"])
	second.acked(t, "r1")
	if got, err = second.server.WaitInstalled(second.ctx, rev, []netip.Prefix{p}, nil); err != nil {
		t.Fatal(err)
	}
	expectInstalled(t, got, routers("r1"), routers("r3"), nil, nil)
	if c := second.server.Claims()[0]; c.Stamp <= roster[0].Stamp {
		t.Errorf("the later stream has stamp %d, the one before %d", c.Stamp, roster[0].Stamp)
	}
}

// TestRosterFromElsewhere: what a file can say is bounded by this controller's rules.
func TestRosterFromElsewhere(t *testing.T) {
	s := newSource(t, logA, 1)
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	h := start(t, s, Options{MaxPlanes: 2, Roster: []Member{
		{Router: "", Instance: "i"}, {Router: "nameless", Since: now},
		{Router: "old", Instance: "i", Since: now.Add(-25 * time.Hour)},
		{Router: "future", Instance: "i", Since: now.Add(time.Hour)},
		{Router: "r1", Instance: "i", Since: now.Add(-time.Hour), Position: eventlog.Position{LogID: logB, Epoch: 1, Revision: 99}},
		{Router: "beyond", Instance: "i", Since: now},
	}})
	l := h.server.List()
	if len(l) != 2 || l[0].Router != "future" || l[1].Router != "r1" || !l[0].Since.Equal(now) || l[1].Lag != uint64(s.State().Position().Revision) {
		t.Errorf("listed are %+v", l)
	}
	// A remembered one makes room for one that comes.
	h.connect(t, fibtest.NewPlane("r9", "i"), func(*fibpb.Hello) {})
	if l := h.server.List(); len(l) != 2 || l[1].Router != "r9" {
		t.Errorf("listed are %+v", l)
	}
}
