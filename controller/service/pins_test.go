package service

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"dvr/controller/appender"
	"dvr/controller/fibstream"
	"dvr/eventlog"
	"dvr/eventlog/memlog"
	"dvr/projector"
)

// newService is a Service on a log in memory.
func newService(t *testing.T) (*Service, *memlog.Log) {
	t.Helper()
	log := memlog.New("6f1c2f0e-7a34-4b1c-9d52-0c8a5e0f4a11")
	a, err := appender.Open(context.Background(), log, appender.Options{Node: "n"})
	if err != nil {
		t.Fatal(err)
	}
	f := fibstream.New(a, fibstream.Options{})
	t.Cleanup(func() {
		f.Close()
		_ = a.Close()
	})
	return New(Writer(a), Planes(f, "n"), log), log
}

func mustRoute(t *testing.T, line string) *eventlog.RouteAnnounced {
	t.Helper()
	e, err := eventlog.DecodeEvent([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return e.(*eventlog.RouteAnnounced)
}

// states gives the state at each of n consecutive revisions.
func states(t *testing.T, s *Service, n int) (out []*projector.State) {
	t.Helper()
	for i := range n {
		r := mustRoute(t, fmt.Sprintf(`{"kind":"route.announced","destination":"10.%d.%d.0/24","next_hop":"192.0.2.1"}`, i/256, i%256))
		if _, err := s.PutRoute(context.Background(), &Mutation{Actor: "a"}, r); err != nil {
			t.Fatal(err)
		}
		out = append(out, s.appender.State())
	}
	return out
}

// TestPins: at most maxPins states, each until it was unused for pinLife and
// never less; the one too many is refused.
func TestPins(t *testing.T) {
	s, _ := newService(t)
	now := time.Unix(1000, 0)
	p := pins{now: func() time.Time { return now }}
	all := states(t, s, maxPins+2)
	held := func(st *projector.State) bool {
		at := st.Position()
		got, err := p.find(at.Epoch, at.Revision)
		if err != nil && !errors.Is(err, ErrGone) {
			t.Fatal(err)
		}
		return err == nil && got == st
	}
	for _, st := range all[:maxPins] {
		for range 2 { // again is nothing new
			if err := p.keep(st); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(p.items) != maxPins {
		t.Fatalf("%d states", len(p.items))
	}
	if err := p.keep(all[maxPins]); !errors.Is(err, ErrOverloaded) {
		t.Errorf("one too many: %v", err)
	}
	if err := p.keep(all[0]); err != nil {
		t.Errorf("one that is there: %v", err)
	}
	now = now.Add(pinLife)
	for i, st := range all[:maxPins] {
		if i != 6 && !held(st) {
			t.Fatalf("state %d left before its time", i)
		}
	}
	now = now.Add(time.Second)
	if held(all[6]) || held(all[maxPins]) || !held(all[5]) {
		t.Error("unused states must leave after pinLife, used ones stay")
	}
	if err := p.keep(all[maxPins]); err != nil || !held(all[maxPins]) {
		t.Errorf("there is room again: %v", err)
	}
	now = now.Add(2 * pinLife)
	if held(all[5]) || len(p.items) != 0 {
		t.Errorf("%d states are kept", len(p.items))
	}
	if _, err := p.find(99, all[5].Position().Revision); !errors.Is(err, ErrGone) {
		t.Errorf("another epoch: %v", err)
	}
}

// TestSharedDeadline: calls share a context that is never older than granule.
func TestSharedDeadline(t *testing.T) {
	var d deadlines
	first := d.get()
	if d.get() != first {
		t.Error("not shared")
	}
	end, _ := first.Deadline()
	if left := time.Until(end); left < DefaultTimeout-time.Second || left > DefaultTimeout+granule {
		t.Errorf("ends in %s", left)
	}
	d.current.Load().stale = time.Now().Add(-time.Millisecond)
	if d.get() == first {
		t.Error("a stale deadline is given out")
	}
}
