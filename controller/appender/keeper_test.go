package appender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"dvr/eventlog"
)

// store counts maintenance and tells a size.
type store struct {
	size  int64
	calls int
}

func (s *store) Maintain(context.Context) error      { s.calls++; return nil }
func (s *store) Size(context.Context) (int64, error) { return s.size, nil }

func TestKeeperDecides(t *testing.T) {
	log := newLog()
	clock := newClock()
	a := open(t, log, Options{Now: clock.Now})
	care := &store{}
	active := true
	k := NewKeeper(log, a, care, KeeperOptions{Now: clock.Now, Batches: 5, Active: func() bool { return active }})
	step := func(snapshots int) {
		t.Helper()
		if err := k.Step(testContext(t)); err != nil {
			t.Fatal(err)
		}
		list, err := log.Snapshots(testContext(t))
		if err != nil || len(list) != snapshots {
			t.Fatalf("%d snapshots, %v; want %d", len(list), err, snapshots)
		}
	}
	grow := func(n int) {
		for i := range n {
			appendOK(t, a, request("", route(i)))
		}
	}
	step(0)
	grow(3)
	step(0) // too little
	grow(2)
	active = false
	step(0) // not this node's
	active = true
	step(1)
	grow(5)
	step(1) // not within a minute
	clock.advance(time.Minute)
	step(2)
	clock.advance(time.Hour)
	step(2) // nothing new
	if care.calls != 3 {
		t.Fatalf("maintained %d times, want once each of the three minutes", care.calls)
	}
	// A new keeper goes on from what is stored.
	k = NewKeeper(log, a, nil, KeeperOptions{Now: clock.Now, Batches: 11})
	step(2)
	grow(1)
	step(3)
}

func TestKeeperTruncates(t *testing.T) {
	log := newLog()
	clock := newClock()
	a := open(t, log, Options{Now: clock.Now})
	k := NewKeeper(log, a, nil, KeeperOptions{Now: clock.Now, Retain: 10 * time.Hour, Thinned: 2})
	for i := range 30 {
		clock.advance(time.Hour)
		appendOK(t, a, request("", route(i)))
		if err := k.Snapshot(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	low, err := log.Low(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	// The commit of 10 hours ago is revision 21; its snapshot may have been
	// thinned out, then the log begins at the one before it.
	if low < 10 || low > 22 {
		t.Fatalf("the log begins at %d", low)
	}
	list, err := log.Snapshots(testContext(t))
	if err != nil || len(list) > 4 {
		t.Fatalf("%d snapshots, %v", len(list), err)
	}
	if !slices.ContainsFunc(list, func(s eventlog.SnapshotInfo) bool { return s.Revision == low-1 }) {
		t.Fatalf("no snapshot at %d for the oldest retained revision", low-1)
	}
	b := open(t, log, Options{})
	if b.State().Digest() != a.State().Digest() {
		t.Fatal("the truncated log gives another state")
	}
}

// lying is a log whose snapshots are damaged as they are written.
type lying struct{ eventlog.Log }

func (l lying) WriteSnapshot(ctx context.Context, info eventlog.SnapshotInfo, write func(io.Writer) error) (eventlog.SnapshotInfo, error) {
	info.Digest = "00000000000000000000000000000000"
	return l.Log.WriteSnapshot(ctx, info, write)
}

func TestKeeperTrustsNothingUnread(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	appendOK(t, a, request("", route(1)))
	k := NewKeeper(lying{log}, a, nil, KeeperOptions{Now: newClock().Now})
	if err := k.Snapshot(testContext(t)); !errors.Is(err, eventlog.ErrCorrupt) {
		t.Fatalf("got %v", err)
	}
	if list, _ := log.Snapshots(testContext(t)); len(list) != 0 {
		t.Fatalf("%d snapshots stay", len(list))
	}
}

func TestRetain(t *testing.T) {
	snapshots := func(revisions ...eventlog.Revision) []eventlog.SnapshotInfo {
		var list []eventlog.SnapshotInfo
		for _, r := range revisions {
			list = append(list, eventlog.SnapshotInfo{Revision: r, Time: int64(r)})
		}
		return list
	}
	for _, c := range []struct {
		name    string
		have    []eventlog.SnapshotInfo
		low     eventlog.Revision
		cutoff  int64
		crowded bool
		extra   int
		newLow  eventlog.Revision
		remove  []eventlog.Revision
	}{
		{"none", nil, 1, 50, false, 8, 0, nil},
		{"all young", snapshots(30, 20, 10), 1, 5, false, 8, 0, nil},
		{"base", snapshots(30, 20, 10), 1, 25, false, 8, 21, []eventlog.Revision{10}},
		{"base again", snapshots(30, 20), 21, 25, false, 8, 0, nil},
		{"all old", snapshots(30, 20, 10), 1, 99, false, 8, 31, []eventlog.Revision{20, 10}},
		{"crowded from 1", snapshots(30, 20, 10), 1, 5, true, 8, 11, nil},
		{"crowded again", snapshots(30, 20, 10), 11, 5, true, 8, 21, []eventlog.Revision{10}},
		{"crowded, one left", snapshots(30), 31, 5, true, 8, 0, nil},
		{"thinned", snapshots(1000, 999, 998, 990, 900, 1), 1, 0, false, 2, 0, []eventlog.Revision{998, 999}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := retain(c.have, c.low, c.cutoff, c.crowded, c.extra)
			if r.low != c.newLow {
				t.Errorf("low %d, want %d", r.low, c.newLow)
			}
			var removed []eventlog.Revision
			for _, s := range r.remove {
				removed = append(removed, s.Revision)
			}
			if c.name == "thinned" {
				if len(removed) != 2 || slices.Contains(removed, 1000) || slices.Contains(removed, 1) {
					t.Errorf("removed %v", removed)
				}
			} else if fmt.Sprint(removed) != fmt.Sprint(c.remove) {
				t.Errorf("removed %v, want %v", removed, c.remove)
			}
			if len(c.have) > 0 && slices.Contains(removed, c.have[0].Revision) {
				t.Error("the newest is removed")
			}
		})
	}
}

func TestThinningIsLogarithmic(t *testing.T) {
	var kept []eventlog.SnapshotInfo
	for r := eventlog.Revision(1); r <= 4000; r++ {
		kept = append([]eventlog.SnapshotInfo{{Revision: r, Time: int64(r)}}, kept...)
		removed := retain(kept, 1, 0, false, 8).remove
		kept = slices.DeleteFunc(kept, func(s eventlog.SnapshotInfo) bool {
			return slices.ContainsFunc(removed, func(x eventlog.SnapshotInfo) bool { return x.Revision == s.Revision })
		})
	}
	if len(kept) != 10 || kept[0].Revision != 4000 || kept[9].Revision != 1 {
		t.Fatalf("kept %v", kept)
	}
	for i := 2; i < len(kept); i++ {
		older, newer := float64(4001-kept[i].Revision), float64(4001-kept[i-1].Revision)
		if older/newer > 8 {
			t.Errorf("a gap from %d to %d", kept[i].Revision, kept[i-1].Revision)
		}
	}
}

var _ Folded = (*Appender)(nil)
