package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"dvr/eventlog"
)

// Pages of a backward scan hold, together, what a look at every commit finds.
func TestScansFindWhatThereIs(t *testing.T) {
	for seed := range uint64(6) {
		w := newWorld(t, seed)
		w.some(300)
		want := func(e eventlog.Event) bool {
			r, ok := e.(*eventlog.RouteAnnounced)
			return ok && r.Destination.Bits() == 16
		}
		var all []string
		for _, c := range slices.Backward(w.commits[1:]) {
			for _, e := range c.Events {
				if want(e) {
					all = append(all, fmt.Sprint(c.Revision, c.ID, c.Actor, c.Time, string(eventlog.AppendEvent(nil, e))))
				}
			}
		}
		for _, limit := range []int{1, 3, 1000} {
			for _, most := range []int{0, 1} {
				var got []string
				for hi := w.revision(); hi > 0; {
					s := Scan{Log: w.log, Low: 1, Limit: limit, Most: most, Want: want}
					list, before, err := s.Run(context.Background(), hi)
					if err != nil {
						t.Fatal(err)
					}
					if len(list) > limit {
						t.Fatalf("%d commits of at most %d", len(list), limit)
					}
					for _, c := range list {
						if c.N != len(w.commits[c.Revision].Events) {
							t.Fatalf("commit %d: %d events", c.Revision, c.N)
						}
						for _, e := range c.Events {
							got = append(got, fmt.Sprint(c.Revision, c.ID, c.Actor, c.Time, string(eventlog.AppendEvent(nil, e))))
						}
					}
					if hi = max(before, 1) - 1; before == 0 {
						break
					}
				}
				if !slices.Equal(got, all) {
					t.Fatalf("limit %d: %d finds, want %d", limit, len(got), len(all))
				}
			}
		}
	}
}

func TestCommitsAreReadByRevision(t *testing.T) {
	w := newWorld(t, 1)
	w.some(100)
	w.snapshot(20)
	if err := w.log.Truncate(context.Background(), 21); err != nil {
		t.Fatal(err)
	}
	low, err := w.log.Low(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	asked := []eventlog.Revision{90, 0, 3, 22, 90, 23, 24, w.revision() + 7}
	got, err := CommitsAt(context.Background(), w.log, asked)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range asked {
		c, ok := got[r]
		if want := r >= low && r <= w.revision(); ok != want || ok && (c.ID != w.commits[r].ID || c.Revision != r) {
			t.Errorf("%d: %v %+v", r, ok, c)
		}
	}
	w.log.Faults().Down(eventlog.ErrUnavailable)
	if _, err := CommitsAt(context.Background(), w.log, asked); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
	s := Scan{Log: w.log, Low: low, Limit: 1, Want: func(eventlog.Event) bool { return true }}
	if _, _, err := s.Run(context.Background(), 90); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

// What names one commit twice gets it, and those after it.
func TestCommitsAreFoundOnce(t *testing.T) {
	w := newWorld(t, 1)
	for range 40 {
		w.commit()
	}
	got, err := CommitsAt(context.Background(), w.log, []eventlog.Revision{7, 3, 7, 30, 3, 3})
	if err != nil || len(got) != 3 || got[3].Revision != 3 || got[7].Revision != 7 || got[30].Revision != 30 {
		t.Errorf("%v, %v", got, err)
	}
}
