package projector

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"dvr/eventlog"
)

// TestProbesAreIntent: a router's probes are in the state's digest and its snapshot,
// equal on every node, and touch no FIB.
func TestProbesAreIntent(t *testing.T) {
	probes := []eventlog.Probe{{Interval: 5000}, {NextHop: netip.MustParseAddr("192.168.1.2"), Interface: "eth0", Interval: 100}}
	fold := func(sets ...*eventlog.RouterSet) *Fold {
		f := NewFold("log")
		mustApply(t, f, &eventlog.Commit{Revision: 1, Time: 1000, Actor: "a", ID: "first", Events: []eventlog.Event{
			&eventlog.RouterSet{Router: "r1"}, announcing("10.1.0.0/16", "192.168.1.2"),
		}})
		for i, set := range sets {
			mustApply(t, f, &eventlog.Commit{Revision: eventlog.Revision(i) + 2, Time: 2000, Actor: "a", ID: "next", Events: []eventlog.Event{set}})
		}
		return f
	}
	with, same, without := fold(&eventlog.RouterSet{Router: "r1", Probes: probes}).State(), fold(&eventlog.RouterSet{Router: "r1", Probes: slices.Clone(probes)}).State(), fold(&eventlog.RouterSet{Router: "r1"}).State()
	if with.Digest() != same.Digest() || !bytes.Equal(saved(t, with), saved(t, same)) {
		t.Error("two nodes fold the same log to different states")
	}
	if with.Digest() == without.Digest() {
		t.Error("the digest does not tell them")
	}
	again, err := Load(bytes.NewReader(saved(t, with)))
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*State{"folded": with, "loaded": again.State()} {
		if r, ok := s.Router("r1"); !ok || !slices.Equal(r.Probes, probes) {
			t.Errorf("%s: %v", name, r.Probes)
		}
	}
	if was := without.FIB("r1", nil); was.Digest() != with.FIB("r1", nil).Digest() || !with.FIB("r1", was).Delta(was).Empty() {
		t.Error("they change a FIB")
	}
	// What replaces a topology sets them where they differ, and only there.
	for interval, want := range map[uint32]int{5000: 0, 6000: 1} {
		desired := slices.Clone(probes)
		desired[0].Interval = interval
		events := with.ReplaceTopology(Topology{Routers: []*eventlog.RouterSet{{Router: "r1", Probes: desired}}}, nil, nil)
		if len(events) != want {
			t.Errorf("%d ms: %v", interval, events)
		}
	}
	if r, _ := fold(&eventlog.RouterSet{Router: "r1", Probes: probes}, &eventlog.RouterSet{Router: "r1"}).State().Router("r1"); r.Probes != nil {
		t.Errorf("set without them: %v", r.Probes)
	}
}
