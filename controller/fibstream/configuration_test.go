package fibstream

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"dvr/controller/fibpb"
	"dvr/controller/fibstream/fibtest"
	"dvr/eventlog"
)

// told takes messages until a configuration comes, and tells it; deltas are acked.
func told(t *testing.T, s *fibtest.Stream) string {
	t.Helper()
	for {
		m, err := s.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if d := m.GetDelta(); d.GetEnd() {
			if err := s.Ack(d); err != nil {
				t.Fatal(err)
			}
			if err := s.Grant(1); err != nil {
				t.Fatal(err)
			}
		}
		if c := m.GetConfig(); c != nil {
			return text(c)
		}
	}
}

// welcomed is the configuration that comes with a stream's welcome.
func welcomed(t *testing.T, s *fibtest.Stream) string {
	t.Helper()
	if s.Welcome.GetConfig() == nil {
		t.Error("the welcome has no configuration: the data plane would keep what it was told before")
	}
	return text(s.Welcome.GetConfig())
}

func text(c *fibpb.Config) string {
	var out []string
	for _, p := range c.GetProbes() {
		a, _ := netip.AddrFromSlice(p.GetAddress())
		out = append(out, fmt.Sprintf("%v%%%s=%d", a, p.GetInterface(), p.GetIntervalMs()))
	}
	return strings.Join(out, " ")
}

// TestProbesAreTold: to each stream at its beginning, also that there are none, and
// then as they change, and only then.
func TestProbesAreTold(t *testing.T) {
	h := start(t, newSource(t, logA, 1), Options{})
	set := func(probes ...eventlog.Probe) {
		h.commit(t, &eventlog.RouterSet{Router: "r1", Probes: probes})
	}
	connect := func(router string) *fibtest.Stream {
		s, err := fibtest.NewPlane(router, "one").Connect(h.ctx, h.dial(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	stream := connect("r1")
	if got := welcomed(t, stream); got != "" {
		t.Errorf("of a router that nobody declared: %q", got)
	}
	set(eventlog.Probe{Interval: 5000}, eventlog.Probe{NextHop: netip.MustParseAddr("192.0.2.1"), Interval: 500},
		eventlog.Probe{NextHop: netip.MustParseAddr("fe80::1"), Interface: "eth0", Interval: 1000})
	want := "invalid IP%=5000 192.0.2.1%=500 fe80::1%eth0=1000"
	if got := told(t, stream); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	// What changes nothing of them is not told: the next configuration is another one.
	h.commit(t, &eventlog.RouterSet{Router: "r1", Description: "edge", Probes: h.probes("r1")})
	h.commit(t, &eventlog.RouterSet{Router: "r2", Probes: []eventlog.Probe{{Interval: 100}}})
	h.commit(t, manyRoutes(10)...)
	set(eventlog.Probe{Interface: "eth1", Interval: 60000})
	if got := told(t, stream); got != "invalid IP%eth1=60000" {
		t.Errorf("told %q", got)
	}
	if got := welcomed(t, connect("r2")); got != "invalid IP%=100" {
		t.Errorf("another router is told %q", got)
	}
	// A new stream hears it anew, and its first configuration is the newest.
	stream.Cut()
	h.gone(t, "r1")
	h.commit(t, &eventlog.RouterRemoved{Router: "r1"})
	if got := welcomed(t, connect("r1")); got != "" {
		t.Errorf("of a router that is no longer declared: %q", got)
	}
}

// probes are a router's as committed.
func (h *harness) probes(id eventlog.RouterID) []eventlog.Probe {
	r, _ := h.State().Router(id)
	return r.Probes
}

// TestProbesAreToldWithoutCredit: a data plane that takes no delta hears of them.
func TestProbesAreToldWithoutCredit(t *testing.T) {
	h := start(t, newSource(t, logA, 1), Options{})
	h.commit(t, append(manyRoutes(100), &eventlog.RouterSet{Router: "r1", Probes: []eventlog.Probe{{Interval: 700}}})...)
	s, err := fibtest.NewPlane("r1", "one").Connect(h.ctx, h.dial(), func(hello *fibpb.Hello) { hello.Credit = 0 })
	if err != nil {
		t.Fatal(err)
	}
	if got := welcomed(t, s); got != "invalid IP%=700" {
		t.Errorf("told %q", got)
	}
	h.commit(t, &eventlog.RouterSet{Router: "r1", Probes: []eventlog.Probe{{Interval: 800}}})
	if got := told(t, s); got != "invalid IP%=800" {
		t.Errorf("told %q", got)
	}
}
