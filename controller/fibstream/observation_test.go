package fibstream

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"dvr/controller/fibpb"
	"dvr/controller/fibstream/fibtest"
	"dvr/eventlog"
)

func linkIs(name string, up bool) *fibpb.DataPlaneMessage {
	return observation(&fibpb.Observation{TimeMs: 1, What: &fibpb.Observation_Link_{Link: &fibpb.Observation_Link{Interface: name, Up: up}}})
}

func hopIs(address, on string, up bool) *fibpb.DataPlaneMessage {
	return observation(&fibpb.Observation{TimeMs: 2, What: &fibpb.Observation_NextHop{NextHop: &fibpb.Observation_ObservedNextHop{
		Address: netip.MustParseAddr(address).AsSlice(), Interface: on, Up: up,
	}}})
}

func observation(o *fibpb.Observation) *fibpb.DataPlaneMessage {
	return &fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Observation{Observation: o}}
}

// TestObservationsAndStreams: what is observed comes between the beginning of a
// stream and its end, and what is down is listed.
func TestObservationsAndStreams(t *testing.T) {
	var mu sync.Mutex
	var told []string
	arrived := make(chan struct{}, 100)
	note := func(format string, args ...any) {
		mu.Lock()
		told = append(told, fmt.Sprintf(format, args...))
		mu.Unlock()
		arrived <- struct{}{}
	}
	h := start(t, newSource(t, logA, 1), Options{
		OnStream: func(r eventlog.RouterID, began bool) { note("%s %t", r, began) },
		OnObservation: func(r eventlog.RouterID, o *fibpb.Observation) {
			note("%s sees %s", r, o.GetLink().GetInterface()+o.GetNextHop().GetInterface())
		},
	})
	down := func() string {
		var out []string
		for _, d := range h.server.List()[0].Down {
			out = append(out, strings.TrimSuffix(d.Interface+" "+d.NextHop.String(), " invalid IP"))
		}
		return strings.Join(out, ", ")
	}
	p := fibtest.NewPlane("r1", "one")
	observe := func(list ...*fibpb.DataPlaneMessage) (cut func()) {
		stream, err := p.Connect(h.ctx, h.dial(), nil)
		if err != nil {
			t.Fatal(err)
		}
		<-arrived // the stream's beginning
		for _, m := range list {
			if err := stream.Send(m); err != nil {
				t.Fatal(err)
			}
			<-arrived
		}
		return stream.Cut
	}
	cut := observe(linkIs("w0", true), linkIs("w1", false), linkIs("w0", false), hopIs("10.0.0.2", "w0", false), hopIs("10.0.0.3", "w0", false), hopIs("10.0.0.3", "w0", true))
	if got := down(); got != "w0, w0 10.0.0.2" {
		t.Errorf("down: %q; w1 was never up", got)
	}
	// A newer stream of the same instance begins with nothing; the older one's end is no news.
	cutNewer := observe(hopIs("fd00::2", "w1", false))
	if got := down(); got != "w1 fd00::2" {
		t.Errorf("down: %q", got)
	}
	cut()
	cutNewer()
	<-arrived
	h.gone(t, "r1")
	mu.Lock()
	defer mu.Unlock()
	want := "r1 true, r1 sees w0, r1 sees w1, r1 sees w0, r1 sees w0, r1 sees w0, r1 sees w0, r1 true, r1 sees w1, r1 false"
	if got := strings.Join(told, ", "); got != want {
		t.Errorf("told\n%s\nwant\n%s", got, want)
	}
}

// TestRepairsAreKept: the newest, in order, also when the data plane connects again.
func TestRepairsAreKept(t *testing.T) {
	arrived := make(chan struct{}, maxRepairs+3)
	h := start(t, newSource(t, logA, 1), Options{OnObservation: func(eventlog.RouterID, *fibpb.Observation) { arrived <- struct{}{} }})
	p := fibtest.NewPlane("r1", "one")
	for range 2 {
		stream, err := p.Connect(h.ctx, h.dial(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range maxRepairs + 3 {
			err := stream.Send(observation(&fibpb.Observation{TimeMs: uint64(i), What: &fibpb.Observation_Repair_{
				Repair: &fibpb.Observation_Repair{Prefix: fmt.Sprintf("10.%d.0.0/16", i), Cause: "removed by 4711", Count: 2},
			}}))
			if err != nil {
				t.Fatal(err)
			}
			<-arrived
		}
		got := h.server.List()[0].Repairs
		if len(got) != maxRepairs || got[0] != (Repair{time.UnixMilli(3), "10.3.0.0/16", "removed by 4711", 2}) || got[maxRepairs-1].Prefix != fmt.Sprintf("10.%d.0.0/16", maxRepairs+2) {
			t.Errorf("kept: %v", got)
		}
	}
}

// TestUndoingsAreKept: what a data plane undid by itself is told when it is back,
// the newest, also over streams.
func TestUndoingsAreKept(t *testing.T) {
	arrived := make(chan struct{}, maxUndone+3)
	h := start(t, newSource(t, logA, 1), Options{OnObservation: func(eventlog.RouterID, *fibpb.Observation) { arrived <- struct{}{} }})
	p := fibtest.NewPlane("r1", "one")
	for round, list := range [][]uint64{{17}, make([]uint64, maxUndone+2)} {
		stream, err := p.Connect(h.ctx, h.dial(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range list {
			if err := stream.Send(observation(&fibpb.Observation{TimeMs: uint64(i), What: &fibpb.Observation_Undone_{Undone: &fibpb.Observation_Undone{Revision: r + uint64(i)}}})); err != nil {
				t.Fatal(err)
			}
			<-arrived
		}
		if round == 0 { // told again on a stream that came after, it is the same
			again := fibtest.NewPlane("r1", "one")
			stream.Cut()
			if stream, err = again.Connect(h.ctx, h.dial(), nil); err != nil {
				t.Fatal(err)
			}
			for _, r := range []uint64{17, 0} { // the other one shows that the first was taken in
				o := &fibpb.Observation{What: &fibpb.Observation_Undone_{Undone: &fibpb.Observation_Undone{Revision: r}}}
				if r == 0 {
					o = &fibpb.Observation{What: &fibpb.Observation_Repair_{Repair: &fibpb.Observation_Repair{Prefix: "10.0.0.0/8"}}}
				}
				if err := stream.Send(observation(o)); err != nil {
					t.Fatal(err)
				}
			}
			<-arrived
		}
		got := h.server.List()[0].Undone
		switch {
		case round == 0 && (len(got) != 1 || got[0] != Undone{time.UnixMilli(0), 17}),
			round == 1 && (len(got) != maxUndone || got[0] != Undone{time.UnixMilli(2), 2} || got[maxUndone-1].Revision != maxUndone+1):
			t.Errorf("kept: %v", got)
		}
		stream.Cut()
	}
}
