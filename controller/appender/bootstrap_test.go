package appender

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"dvr/eventlog"
	"dvr/eventlog/memlog"
	"dvr/projector"
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

// middled is a log whose last batch holds revisions 5 to 8.
func middled(t *testing.T) (*memlog.Log, *Appender) {
	t.Helper()
	log, a := filled(t, 3, 3)
	head, err := log.Head(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	b := eventlog.NewBatchBuilder(head, "n1")
	for i := range 4 {
		c := &eventlog.Commit{ID: fmt.Sprint("m", i), Time: a.State().Time(), Actor: "alice", Events: []eventlog.Event{route(100 + i)}}
		if err := b.Add(c); err != nil {
			t.Fatal(err)
		}
	}
	raw, next := b.Finish()
	if _, err := log.Append(testContext(t), head, next, bytes.Clone(raw), nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Wait(testContext(t), 8); err != nil {
		t.Fatal(err)
	}
	return log, a
}

// snapshotAt stores a snapshot of the log folded up to a revision, whose last
// commit doctor may change, hash and all.
func snapshotAt(t *testing.T, log *memlog.Log, at eventlog.Revision, doctor func(*eventlog.Commit, *eventlog.Hash)) {
	t.Helper()
	fold := projector.NewFold(log.ID())
	err := log.Read(testContext(t), 0, func(b *eventlog.Batch) error {
		for i := range b.Commits {
			c := &b.Commits[i]
			if c.Revision > at {
				return nil
			}
			h, err := eventlog.HashAt(b.Raw, c.Revision)
			if err != nil {
				return err
			}
			if c.Revision == at {
				doctor(c, &h)
			}
			if err := fold.Apply(c, h); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s := fold.State()
	if _, err := log.WriteSnapshot(testContext(t), Describe(s), s.Save); err != nil {
		t.Fatal(err)
	}
}

// TestSnapshotWithinABatch: a start from it is held against the hash chain; one
// of another history is reported and passed over, however whole it is by itself.
func TestSnapshotWithinABatch(t *testing.T) {
	doctored := func(c *eventlog.Commit, h *eventlog.Hash) {
		c.Events = []eventlog.Event{route(999)}
		h[5] ^= 1
	}
	for _, c := range []struct {
		name    string
		doctor  func(*eventlog.Commit, *eventlog.Hash)
		reports int
	}{
		{"true", func(*eventlog.Commit, *eventlog.Hash) {}, 0},
		{"doctored", doctored, 1},
	} {
		for at := eventlog.Revision(5); at <= 8; at++ {
			log, a := middled(t)
			snapshotAt(t, log, at, c.doctor)
			var d damages
			b := open(t, log, Options{OnDamage: d.add})
			sameAsLog(t, b)
			if b.State().Digest() != a.State().Digest() {
				t.Errorf("%s at %d: another state", c.name, at)
			}
			if len(d.errs) != c.reports || c.reports > 0 && !errors.Is(d.errs[0], errForked) {
				t.Errorf("%s at %d: reported %v", c.name, at, d.errs)
			}
		}
	}
	// Where nothing else is left, the node does not start on it.
	log, _ := middled(t)
	snapshotAt(t, log, 6, doctored)
	list, err := log.Snapshots(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		if s.Revision != 6 {
			if err := log.DeleteSnapshot(testContext(t), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := log.Truncate(testContext(t), 5); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(testContext(t), log, Options{}); !errors.Is(err, errForked) || !strings.Contains(err.Error(), "snapshot of revision 6") {
		t.Fatalf("got %v", err)
	}
}

// TestManifestOfAnotherHash: a snapshot whose manifest names another hash than it holds is damage.
func TestManifestOfAnotherHash(t *testing.T) {
	log, a := middled(t)
	s := a.State()
	info := Describe(s)
	info.Hash = strings.Repeat("ab", 32)
	if _, err := log.WriteSnapshot(testContext(t), info, s.Save); err != nil {
		t.Fatal(err)
	}
	var d damages
	sameAsLog(t, open(t, log, Options{OnDamage: d.add}))
	if len(d.errs) != 1 || !errors.Is(d.errs[0], eventlog.ErrCorrupt) {
		t.Errorf("reported %v", d.errs)
	}
}

// TestTellsWhichRevisionIsBad: behind every snapshot lies the same hole, and
// the log before the oldest is gone: the hole is what is told.
func TestTellsWhichRevisionIsBad(t *testing.T) {
	log, _ := filled(t, 40, 10)
	if err := log.Truncate(testContext(t), 12); err != nil {
		t.Fatal(err)
	}
	if err := log.DamageBatch(42 - 1); err != nil {
		t.Fatal(err)
	}
	list, err := log.Snapshots(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list, func(a, b eventlog.SnapshotInfo) int { return cmpRevision(b.Revision, a.Revision) })
	for _, s := range list[:1] { // the newest one is behind the damage
		if err := log.DamageSnapshot(s); err != nil {
			t.Fatal(err)
		}
	}
	_, err = Open(testContext(t), log, Options{})
	if !errors.Is(err, eventlog.ErrCorrupt) || errors.Is(err, errUnloadable) || !strings.Contains(err.Error(), fmt.Sprintf("snapshot of revision %d", list[1].Revision)) {
		t.Fatalf("got %v", err)
	}
}

// TestProgressIsTold from nothing to the head, never backwards within a pass.
func TestProgressIsTold(t *testing.T) {
	log, _ := filled(t, 100, 0)
	var seen []eventlog.Revision
	open(t, log, Options{OnFold: func(at, head eventlog.Revision) {
		if head != 101 {
			t.Errorf("head %d", head)
		}
		seen = append(seen, at)
	}})
	if len(seen) < 100 || !slices.IsSorted(seen) || seen[len(seen)-1] != 101 {
		t.Errorf("told %v", seen)
	}
}

// TestStopsWithinABatch: a Fold that stands within a batch, because what
// follows there cannot be folded, knows the hash of where it stands.
func TestStopsWithinABatch(t *testing.T) {
	log, a := middled(t)
	head, err := log.Head(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	b := eventlog.NewBatchBuilder(head, "n1")
	for i, e := range []eventlog.Event{route(200), route(201), &eventlog.LevelRaised{Level: eventlog.MaxLevel + 1}} {
		if err := b.Add(&eventlog.Commit{ID: fmt.Sprint("s", i), Time: a.State().Time(), Actor: "system", Events: []eventlog.Event{e}}); err != nil {
			t.Fatal(err)
		}
	}
	raw, next := b.Finish()
	raw = bytes.Clone(raw)
	if _, err := log.Append(testContext(t), head, next, raw, nil); err != nil {
		t.Fatal(err)
	}
	want, err := eventlog.HashAt(raw, head.Revision+2)
	if err != nil {
		t.Fatal(err)
	}
	again := open(t, log, Options{})
	if got := again.State().Head(); got.Revision != head.Revision+2 || got.Hash != want {
		t.Errorf("stands at %d, %x, want %d, %x", got.Revision, got.Hash, head.Revision+2, want)
	}
}
