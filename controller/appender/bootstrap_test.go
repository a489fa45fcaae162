package appender

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"dvr/eventlog"
	"dvr/eventlog/memlog"
)

// filled is a log with n commits and a snapshot after every k.
func filled(t *testing.T, n, k int) (*memlog.Log, *Appender) {
	t.Helper()
	log := newLog()
	a := open(t, log, Options{})
	keeper := NewKeeper(log, a, nil, KeeperOptions{Now: newClock().Now, Thinned: 100})
	for i := range n {
		appendOK(t, a, request(id(i), route(i%50), &eventlog.KeyPut{Key: "k", Value: fmt.Sprint(i)}))
		if k > 0 && i%k == k-1 {
			if err := keeper.Snapshot(testContext(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return log, a
}

// damages collects what is reported.
type damages struct {
	mu   sync.Mutex
	errs []error
}

func (d *damages) add(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.errs = append(d.errs, err)
}

func TestReplayFromSnapshots(t *testing.T) {
	log, a := filled(t, 100, 30)
	b := open(t, log, Options{})
	sameAsLog(t, b)
	if !bytes.Equal(saved(t, a.State()), saved(t, b.State())) {
		t.Fatal("the saved forms differ")
	}
	if v := b.Volume(); v.Batches != 10 {
		t.Fatalf("read %d batches, want the 10 after the newest snapshot", v.Batches)
	}
	// The window came with the snapshot.
	if res := appendOK(t, b, request(id(3), route(3))); !res.Replayed || res.Revision != 5 {
		t.Fatalf("%+v", res)
	}
}

func TestDamagedSnapshots(t *testing.T) {
	log, _ := filled(t, 100, 30)
	list, err := log.Snapshots(testContext(t))
	if err != nil || len(list) != 3 {
		t.Fatalf("%d snapshots, %v", len(list), err)
	}
	slices.SortFunc(list, func(a, b eventlog.SnapshotInfo) int { return cmpRevision(b.Revision, a.Revision) })
	for i, s := range list {
		if err := log.DamageSnapshot(s); err != nil {
			t.Fatal(err)
		}
		var d damages
		b := open(t, log, Options{OnDamage: d.add})
		sameAsLog(t, b)
		if len(d.errs) != i+1 {
			t.Fatalf("%d damaged snapshots, reported: %v", i+1, d.errs)
		}
		if v := b.Volume(); v.Batches != int64(10+30*(i+1))+b2i(i == 2) {
			t.Fatalf("read %d batches with %d damaged", v.Batches, i+1)
		}
	}
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func TestNeverFoldsAroundAHole(t *testing.T) {
	log, _ := filled(t, 20, 0)
	if err := log.DamageBatch(10); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(testContext(t), log, Options{}); !errors.Is(err, eventlog.ErrCorrupt) && !errors.Is(err, eventlog.ErrHole) {
		t.Fatalf("got %v", err)
	}
}

func TestMissingStagePartStopsTheStart(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	events := make([]eventlog.Event, eventlog.MaxCommitEvents+1)
	for i := range events {
		events[i] = route(i)
	}
	appendOK(t, a, request("big", events...))
	var stage string
	err := log.Read(testContext(t), 1, func(b *eventlog.Batch) error {
		stage = b.Commits[0].Events[0].(*eventlog.CommitStaged).ID
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.LoseStagePart(stage); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(testContext(t), log, Options{}); err == nil {
		t.Fatal("opened without the staged events")
	}
}
