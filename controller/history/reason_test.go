package history

import (
	"bytes"
	"context"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dvr/eventlog"
	"dvr/projector"
)

// Reasons are the same whatever state is at hand to weigh them from, also where
// routes are resolved through others, and no state is rebuilt where one is.
func TestReasonsNeedNoPastState(t *testing.T) {
	ctx := context.Background()
	weighed := 0
	for seed := range uint64(12) {
		w := newWorld(t, seed)
		for range 60 {
			w.some(3)
			r := route("*", "10.0.0.0/8", "192.0.2.1", uint32(w.rand.IntN(3)))
			r.NextHop, r.Recursive = netip.AddrFrom4([4]byte{10, byte(w.rand.IntN(3)), 0, 7}), true
			w.commit(r)
		}
		now := w.now()
		a := netip.AddrFrom4([4]byte{10, byte(w.rand.IntN(3)), 0, 7})
		e := Explain(now, w.router(), a)
		slow := NewArchive(w.log)
		want, err := slow.Reasons(ctx, now, now, e)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range want.List {
			if r.Relevance == Changed {
				weighed++
			}
		}
		for range 6 {
			at := eventlog.Revision(1 + w.rand.IntN(int(w.revision())))
			fast := NewArchive(w.log)
			fast.Remember(w.states[1])
			fast.recent.list = append(fast.recent.list, passed{state: w.states[at]})
			got, err := fast.Reasons(ctx, now, now, e)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
				t.Fatalf("seed %d, from revision %d: %s", seed, at, diff)
			}
			for i := range fast.lines {
				if fast.lines[i].fold != nil {
					t.Fatalf("seed %d, from revision %d: a past state was rebuilt", seed, at)
				}
			}
		}
	}
	if weighed < 20 {
		t.Errorf("%d commits changed a way: too few to tell", weighed)
	}
}

// What is too much of the log to look through is folded whole, with the same result.
func TestReasonsFromAfar(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, 1)
	w.commit(link("r1", "r2", 5, false))
	staged := []eventlog.Event{route("r1", "10.0.0.0/8", "192.0.2.1", 1), route("r1", "10.1.0.0/16", "192.0.2.2", 1)}
	s, err := w.log.Stage(ctx, "large", staged)
	if err != nil {
		t.Fatal(err)
	}
	b := eventlog.NewBatchBuilder(w.head, "node-1")
	if err := b.Add(&eventlog.Commit{ID: "large", Revision: w.revision() + 1, Epoch: w.head.Epoch, Time: w.time, Actor: "importer", Events: []eventlog.Event{s}}); err != nil {
		t.Fatal(err)
	}
	raw, next := b.Finish()
	if w.head, err = w.log.Append(ctx, w.head, next, bytes.Clone(raw), nil); err != nil {
		t.Fatal(err)
	}
	fold := projector.NewFold(logID)
	if err := NewArchive(w.log).advance(ctx, fold, w.revision()); err != nil {
		t.Fatal(err)
	}
	w.fold = fold
	culprit := w.commit(link("r1", "r2", 7, true))
	now := w.now()
	e := Explain(now, "r2", netip.MustParseAddr("10.1.2.3"))
	for _, near := range []eventlog.Revision{0, 1} {
		a := NewArchive(w.log)
		if near > 0 {
			a.Remember(w.states[near])
		}
		got, err := a.Reasons(ctx, now, now, e)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.List) == 0 || got.List[0].Revision != culprit || got.List[0].Relevance != Changed {
			t.Errorf("from revision %d: %+v", near, got.List)
		}
	}
	// A staged commit of more than may be read ends the search.
	all := Scan{Log: w.log, Low: 1, Limit: 100, Most: 1 << 20, Want: func(eventlog.Event) bool { return true }}
	if list, before, err := all.Run(ctx, w.revision()); err != nil || before != 0 || len(list) != int(w.revision()) {
		t.Errorf("%d commits, before %d, %v", len(list), before, err)
	}
	some := Scan{Log: w.log, Low: 1, Limit: 100, Most: 900, Want: func(eventlog.Event) bool { return true }}
	if list, before, err := some.Run(ctx, w.revision()); err != nil || before != culprit || len(list) != 1 {
		t.Errorf("%d commits, before %d, %v", len(list), before, err)
	}
}

// The sieve passes over what is about other destinations, and over nothing else.
func TestSieve(t *testing.T) {
	var s Sieve
	s.addCovering(netip.MustParseAddr("10.1.2.3"))
	s.addCovering(netip.MustParseAddr("2001:db8::1"))
	for destination, elsewhere := range map[string]bool{
		"0.0.0.0/0": false, "10.0.0.0/8": false, "10.1.2.3/32": false, "10.1.2.2/31": false, "10.1.2.0/31": true, "11.0.0.0/8": true,
		"::/0": false, "2001:db8::/32": false, "2001:db8::1/128": false, "2001:db8::2/128": true,
	} {
		r := route("r1", destination, "192.0.2.1", 1)
		r.Interface = "\"destination\":\"10.0.0.0/8" // escaped, as all quotes are
		for _, e := range []eventlog.Event{r, &eventlog.RouteWithdrawn{RouteID: r.RouteID}} {
			if got := s.Elsewhere(eventlog.AppendEvent(nil, e)); got != elsewhere {
				t.Errorf("%s: %v, want %v", eventlog.AppendEvent(nil, e), got, elsewhere)
			}
		}
	}
	for _, line := range []string{
		"", "{", string(eventlog.AppendEvent(nil, link("r1", "r2", 1, false))), `{"kind":"key.put","key":"a","value":"{\"kind\":\"route."}`,
		`{ "kind":"route.announced","destination":"11.0.0.0/8"}`, `{"kind":"route.announced","destination": "11.0.0.0/8"}`, `{"kind":"route.announced","destination":"11.0`,
	} {
		if s.Elsewhere([]byte(line)) {
			t.Errorf("%q is passed over", line)
		}
	}
}
