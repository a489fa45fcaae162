package appender

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"dvr/eventlog"
)

func lowOf(t *testing.T, log eventlog.Log) eventlog.Revision {
	t.Helper()
	low, err := log.Low(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return low
}

func takeStep(t *testing.T, k *Keeper) {
	t.Helper()
	if err := k.Step(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

// TestIdleLogIsForgotten: retention by time needs no new snapshot.
func TestIdleLogIsForgotten(t *testing.T) {
	log := newLog()
	clock := newClock()
	a := open(t, log, Options{Now: clock.Now})
	k := NewKeeper(log, a, nil, KeeperOptions{Now: clock.Now})
	for i := range 3 {
		appendOK(t, a, request("", route(i)))
	}
	if err := k.Snapshot(testContext(t)); err != nil {
		t.Fatal(err)
	}
	takeStep(t, k)
	if low := lowOf(t, log); low != 1 {
		t.Fatalf("the log begins at %d at once", low)
	}
	clock.advance(7*24*time.Hour + time.Minute)
	takeStep(t, k)
	if low := lowOf(t, log); low != 5 {
		t.Fatalf("the log begins at %d after seven idle days, want 5", low)
	}
	if b := open(t, log, Options{}); b.State().Digest() != a.State().Digest() {
		t.Fatal("the truncated log gives another state")
	}
}

// cleanLog counts what a log with unfinished snapshots is asked.
type cleanLog struct {
	eventlog.Log
	idle []time.Duration
}

func (c *cleanLog) CleanSnapshots(_ context.Context, idle time.Duration) (int, error) {
	c.idle = append(c.idle, idle)
	return 0, nil
}

// TestKeeperSweeps: a stage goes when it is an hour old and no retained batch
// refers to it; one that is referred to stays until its batch has gone.
func TestKeeperSweeps(t *testing.T) {
	mem := newLog()
	log := &cleanLog{Log: mem}
	clock := newClock()
	a := open(t, log, Options{Now: clock.Now})
	k := NewKeeper(log, a, nil, KeeperOptions{Now: clock.Now})
	ctx := testContext(t)
	stages := func(want int) {
		t.Helper()
		takeStep(t, k)
		if n := mem.Stages(); n != want {
			t.Fatalf("%d stages, want %d", n, want)
		}
	}
	appendOK(t, a, request("big", largeEvents(eventlog.MaxCommitEvents+1)...))
	if _, err := mem.Stage(ctx, "left-over", largeEvents(10)); err != nil {
		t.Fatal(err)
	}
	clock.advance(59 * time.Minute)
	stages(2)
	clock.advance(5 * time.Minute)
	stages(2) // not looked at so soon
	clock.advance(6 * time.Minute)
	stages(1)
	sameAsLog(t, a)
	// Stored by another node after the first look, and old at once by the
	// clock of the stages, which stands still.
	appendOK(t, open(t, mem.Another(), Options{Now: clock.Now}), request("big2", largeEvents(eventlog.MaxCommitEvents+1)...))
	if err := a.Barrier(ctx); err != nil {
		t.Fatal(err)
	}
	clock.advance(11 * time.Minute)
	stages(2)
	sameAsLog(t, a)
	if err := k.Snapshot(ctx); err != nil {
		t.Fatal(err)
	}
	clock.advance(8 * 24 * time.Hour)
	stages(0) // their batches have gone
	if b := open(t, mem, Options{}); b.State().Digest() != a.State().Digest() {
		t.Fatal("the truncated log gives another state")
	}
	if len(log.idle) != 4 || log.idle[0] != 10*time.Minute {
		t.Fatalf("asked to clean %v", log.idle)
	}
}

// TestSweepDoubtsKeep: a log that cannot say what is referred to keeps all.
func TestSweepDoubtsKeep(t *testing.T) {
	mem := newLog()
	clock := newClock()
	a := open(t, mem, Options{Now: clock.Now})
	k := NewKeeper(unreadable{mem}, a, nil, KeeperOptions{Now: clock.Now})
	appendOK(t, a, request("big", largeEvents(eventlog.MaxCommitEvents+1)...))
	clock.advance(2 * time.Hour)
	if err := k.Step(testContext(t)); !errors.Is(err, eventlog.ErrCorrupt) {
		t.Fatalf("got %v", err)
	}
	if mem.Stages() != 1 {
		t.Fatal("swept in doubt")
	}
}

type unreadable struct{ eventlog.Log }

func (unreadable) Read(context.Context, eventlog.Revision, func(*eventlog.Batch) error) error {
	return eventlog.ErrCorrupt
}

// fullLog has no room for a snapshot.
type fullLog struct {
	eventlog.Log
	full bool
}

func (f *fullLog) WriteSnapshot(ctx context.Context, info eventlog.SnapshotInfo, write func(io.Writer) error) (eventlog.SnapshotInfo, error) {
	if f.full {
		return info, eventlog.ErrNoSpace
	}
	return f.Log.WriteSnapshot(ctx, info, write)
}

// TestFreeNeedsNoSnapshot: a full store is relieved with the snapshots it has,
// one step a call; a new one is tried only where none of them helps.
func TestFreeNeedsNoSnapshot(t *testing.T) {
	log := &fullLog{Log: newLog()}
	clock := newClock()
	a := open(t, log, Options{Now: clock.Now})
	active := true
	k := NewKeeper(log, a, nil, KeeperOptions{Now: clock.Now, Active: func() bool { return active }})
	ctx := testContext(t)
	for i := range 2 {
		appendOK(t, a, request("", route(i)))
		if err := k.Snapshot(ctx); err != nil {
			t.Fatal(err)
		}
	}
	appendOK(t, a, request("", route(2)))
	log.full, active = true, false
	free := func(want eventlog.Revision, wantErr error) {
		t.Helper()
		clock.advance(time.Minute)
		if err := k.Free(ctx); !errors.Is(err, wantErr) {
			t.Fatalf("got %v, want %v", err, wantErr)
		}
		if low := lowOf(t, log); low != want {
			t.Fatalf("the log begins at %d, want %d", low, want)
		}
	}
	free(1, nil) // another node's
	active = true
	free(3, nil)
	free(4, nil)
	free(4, eventlog.ErrNoSpace)
	log.full = false
	if err := k.Free(ctx); err != nil { // at once: there was no room before
		t.Fatal(err)
	}
	if low := lowOf(t, log); low != 5 {
		t.Fatalf("the log begins at %d, want 5", low)
	}
	if b := open(t, log, Options{}); b.State().Digest() != a.State().Digest() {
		t.Fatal("the truncated log gives another state")
	}
}
